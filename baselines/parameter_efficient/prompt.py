"""Prompt tuning: learned vectors before the text."""

from dataclasses import dataclass

from torch import nn
from typing_extensions import override

from amix.models.architecture import embeddings
from amix.specs.recipe import Share
from amix.specs.spec_model import Count
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.parameter_efficient._prompts import PromptMethod, width
from baselines.parameter_efficient._virtual_tokens import VirtualTokens


@register
class PromptTuning(PromptMethod):
    """Prompt tuning: learned vectors before the embedded tokens of every text, starting at those of random tokens.

    Lester et al. (2021), section 2, through peft. They use 100 tokens and find in section 3.2 that more than 20 gain
    little. They train T5 with Adafactor at lr 0.3; the lr for Adam is ours.

    Official options that change numbers (google-research/prompt-tuning, prompt_tuning/configs): PROMPT_LENGTH is
    `tokens`; of the starts in prompts/, from_sampled_vocab is `sample_vocabulary`, whose alternative is uniform noise
    there and peft's normal one here; from_class_labels and from_file are not here; the options of Adafactor, Z_LOSS and
    LABEL_SMOOTHING belong to their T5.
    """

    @dataclass(frozen=True)
    class Config:
        """tokens: number of vectors. sample_vocabulary: start at embeddings of random tokens, else at random."""

        tokens: Count = 20
        sample_vocabulary: bool = True
        lr: float | None = 1e-2
        dropout: Share | None = None

    name = "prompt"
    info = MethodInfo(
        paper="Lester et al., EMNLP 2021",
        year=2021,
        kind="parameter-efficient",
        parity="departs: the head reads the text's states; these equal peft's",
        plain_checkpoint=False,
        grid={"tokens": (5, 20), "lr": (3e-3, 1e-2, 3e-2)},
        toy_settings={"lr": 2e-2, "tokens": 8, "dropout": 0.0},
        toy_epochs=30,
    )

    @override
    def addition(self, model: nn.Module) -> VirtualTokens:
        """peft's embedding of the tokens."""
        from peft import PromptTuningConfig
        from peft.tuners.prompt_tuning import PromptEmbedding

        start = "SAMPLE_VOCAB" if self.config.sample_vocabulary else "RANDOM"
        settings = PromptTuningConfig(
            num_virtual_tokens=self.config.tokens,
            token_dim=width(model),
            num_transformer_submodules=1,
            prompt_tuning_init=start,
        )
        return VirtualTokens(self.config.tokens, width(model), PromptEmbedding(settings, embeddings(model)))
