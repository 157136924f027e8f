"""Plain finetuning without dropout."""

from typing_extensions import override

from amix.models.architecture import set_dropout
from amix.training.fit import Fit
from amix.training.method import Method, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register


@register
class VanillaNoDropout(Method):
    """Plain finetuning with all dropout rates at zero, as in some published baselines that do not say so.

    No official code.
    """

    name = "vanilla_no_dropout"
    info = MethodInfo(
        paper="Devlin et al., NAACL 2019",
        year=2019,
        kind="control",
        parity="no official code",
    )

    @override
    def prepare(self, model: Model, fit: Fit) -> Model:
        """Switch dropout off."""
        set_dropout(model, 0.0)
        return model
