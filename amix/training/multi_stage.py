"""MultiStageMethod, for methods that are more than one pass of the training loop; finetune, for any method."""

from collections.abc import Iterator

from torch import Tensor

from amix.training.fit import Fit
from amix.training.loop import train
from amix.training.method import Method, Model
from amix.training.stage_workers import RemoteStages


class MultiStageMethod(Method):
    """A method that overrides `run`: several stages, one of another length, or a fit without gradient steps.

    Independent stages (the splits of a search, the members of an ensemble) can run in other processes: `stages` is
    their number, `run_stage` runs one, and `run` gets their results from `stage_weights`.
    """

    remote_stages: RemoteStages | None = None
    """The independent stages, if they run in other processes."""

    def run(self, model: Model, fit: Fit) -> Model:
        """Finetune the prepared model, and return the trained model."""
        raise NotImplementedError

    def stages(self) -> int:
        """Return the number of independent stages."""
        return 0

    def run_stage(self, model: Model, fit: Fit, number: int) -> dict[str, Tensor]:
        """Run one independent stage.

        Args:
            model: The prepared model in its initial state; the stage trains it in place.
            fit: The whole finetuning; use its for_stage for the stage.
            number: The stage, from 0.

        Returns:
            The final weights of the stage, by name.
        """
        raise NotImplementedError(f"{type(self).__name__} has no independent stages")

    def stage_weights(self, model: Model, fit: Fit) -> Iterator[dict[str, Tensor]]:
        """Yield the final weights of each independent stage in turn, whether it runs here or in another process.

        A stage that runs here trains the model, so the caller must restore its weights before asking for the next ones.
        """
        for number in range(self.stages()):
            if self.remote_stages is None:
                yield self.run_stage(model, fit, number)
            else:
                yield self.remote_stages.take(number, fit)


def finetune(method: Method, model: Model, fit: Fit) -> Model:
    """Finetune the prepared model with any method, and return the trained model."""
    return method.run(model, fit) if isinstance(method, MultiStageMethod) else train(method, model, fit)
