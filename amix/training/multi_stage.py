"""Methods whose run is more than one pass of the training loop, and the run of any method."""

from collections.abc import Iterator

from torch import Tensor

from amix.training.fit import Fit
from amix.training.loop import train
from amix.training.method import Method, Model
from amix.training.stage_workers import RemoteStages


class MultiStageMethod(Method):
    """A method with a run of its own: several stages, one of another length, or a fit without gradient steps.

    Stages that need nothing of each other (the splits of a search, the members of an ensemble) can be done by other
    processes: `stages` counts them, `run_stage` does one, and `run` takes what they leave from `stage_weights`.
    """

    remote_stages: RemoteStages | None = None
    """Where other processes do the independent stages."""

    def run(self, model: Model, fit: Fit) -> Model:
        """Finetune the prepared model; returns the model that was trained."""
        raise NotImplementedError

    def stages(self) -> int:
        """How many stages are independent of each other."""
        return 0

    def run_stage(self, model: Model, fit: Fit, number: int) -> dict[str, Tensor]:
        """Do one independent stage, from the prepared model as it is at the start.

        Args:
            model: The prepared model; it is left as it was trained.
            fit: The finetuning as a whole; its for_stage gives the stage's own.
            number: Which stage, from 0.

        Returns:
            The weights that the stage ends with, by name.
        """
        raise NotImplementedError(f"{type(self).__name__} has no independent stages")

    def stage_weights(self, model: Model, fit: Fit) -> Iterator[dict[str, Tensor]]:
        """The weights that each independent stage ends with, in turn, done here or fetched from where it is done.

        Done here, a stage trains the model, and the caller puts its weights back before it asks for the next ones.
        """
        for number in range(self.stages()):
            if self.remote_stages is None:
                yield self.run_stage(model, fit, number)
            else:
                yield self.remote_stages.take(number, fit)


def finetune(method: Method, model: Model, fit: Fit) -> Model:
    """Finetune the prepared model by any method; returns the model that was trained."""
    return method.run(model, fit) if isinstance(method, MultiStageMethod) else train(method, model, fit)
