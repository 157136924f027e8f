"""LM-BFF: finetuning by a prompt, whose missing word the encoder was pretrained to guess."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from amix.data.encoded import Batch
from amix.models.with_addition import Extended
from amix.specs.launch import processes
from amix.specs.recipe import Recipe
from amix.specs.tasks import Task
from amix.training.data_parallel import weight
from amix.training.fit import Fit
from amix.training.method import Method, MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.classical._own_encoder import encoder_and_pooling
from baselines.prompting._classifier import PromptClassifier
from baselines.prompting._templates import closing_tokens, pieces_of, prompt_of, word_tokens


@register
class LMBFF(Method):
    """LM-BFF without demonstrations: a text becomes a prompt with a mask, a label the word that is expected there.

    With T(x) the prompt, M(y) the word of label y, h the state of the mask and w_v the weights of word v in the head of
    masked language modelling (section 4.1, equation 1):

        p(y|x) = exp(w_M(y) . h) / sum over labels y' of exp(w_M(y') . h),    L = mean cross-entropy of p.

    For numbers between v_l and v_u with one word for either end (section 4.2, equations 2 and 3):

        y = v_l p(y_l|x) + v_u p(y_u|x),    L = mean KL(q || p),  q(y_u) = (y - v_l) / (v_u - v_l).

    Gao et al. (2021): prompts and words written by hand (their table 1) for the GLUE tasks, CR and SST-5; other tasks
    need `template` and `label_words`. Theirs are 1000 updates with batches of 2, 4 or 8 at 1e-5, 2e-5 or 5e-5, chosen
    on dev data; here they are the recipe's. Official code: princeton-nlp/LM-BFF.

    Official options that change numbers (run_experiment.sh, run.py): template is `template`, in the paper's notation;
    mapping is `label_words`; few_shot_type prompt is this method, finetune is plain finetuning, prompt-demo (examples
    put into the prompt), searched templates and words, and ensembles of templates are not here. max_seq_length,
    batches, steps and rate are the recipe's. first_sent_limit and truncate_head are not here: texts are cut to the
    recipe's length before the prompt, which comes in addition, so that it is never cut itself.

    Departs: the prompt is made of the tokens of the texts as every method here reads them, so that a second text has no
    blank before it and keeps its first letter (`+sentl_1` there: src/dataset.py adds the one and changes the other).
    `<S1->` leaves out a full stop, question or exclamation mark at the end, `sent-_0` there any last letter. The loss
    of numbers is the paper's; theirs (src/models.py) gives torch's KLDivLoss the logarithms of p with `log_target` and
    q itself, which is another function. Their BERT class asks for `self.roberta` and cannot run; here every encoder
    will do whose head is one dense layer, a LayerNorm and the table of words (BERT, RoBERTa, DeBERTa, MPNet, ELECTRA).
    """

    @dataclass(frozen=True)
    class Config:
        """template: with <S1>, <S2> for the texts (<S1-> without its closing mark) and [MASK]; empty for the published.

        label_words: one for each label, in the order of their ids; of a number for its low and its high end.
        """

        template: str = ""
        label_words: tuple[str, ...] = ()

    name = "lm_bff"
    info = MethodInfo(
        paper="Gao et al., ACL 2021",
        year=2021,
        kind="prompting",
        parity="departs: no blank before the second text, another loss of numbers; the official code was not run",
        plain_checkpoint=False,
        needs_language_model=True,
        toy_settings={"template": "the <S1> over [MASK] .", "label_words": ("sad", "great")},
    )

    def check_encoder(self, model: Model, task: Task, recipe: Recipe) -> None:
        """Find the prompt, its words in the vocabulary, and the pretrained head.

        Raises:
            MethodError: If one of them is missing or of another form.
        """
        assert isinstance(model, PreTrainedModel)
        prompt = prompt_of(task, self.config.template, self.config.label_words)
        source = _Source.of(model.base_model)
        source.head()
        tokenizer = source.tokenizer()
        word_tokens(prompt.words, tokenizer)
        _special(tokenizer, source.name)

    def prepare(self, model: Model, fit: Fit) -> Model:
        """The encoder, with the head that it was pretrained with, behind the prompt."""
        prompt = prompt_of(fit.task, self.config.template, self.config.label_words)
        body, configuration, _ = encoder_and_pooling(model, pooler=False)
        source = _Source.of(body)
        head = source.head()
        tokenizer = source.tokenizer()
        words = word_tokens(prompt.words, tokenizer)
        bounds = list(prompt.bounds or _ends(fit)) if fit.task.regression else []
        addition = PromptClassifier(
            configuration, pieces_of(prompt.template, tokenizer), words, _special(tokenizer, source.name),
            _longest(body.config), bounds, head.activation, head.norm.eps, head.dense.out_features,
        )  # fmt: skip
        addition.encoder = body
        addition.dense.load_state_dict(head.dense.state_dict())
        addition.norm.load_state_dict(head.norm.state_dict())
        addition.bias.data.copy_(head.bias[words])
        extended = Extended(None, addition.to(fit.device))
        fit.cost.watch(extended)
        return extended.train()

    def loss(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """Cross-entropy of the words, or the divergence from the two ends' shares."""
        outputs = fit.logits(model, batch)
        if not fit.task.regression:
            return fit.task_loss(outputs, batch)
        addition = model.addition
        assert isinstance(addition, PromptClassifier)
        assert addition.scores is not None
        loss = divergence(addition.scores, batch["labels"], addition.bounds)
        return loss if processes() == 1 else loss * weight(len(outputs), outputs.device)


def divergence(scores: Tensor, labels: Tensor, bounds: list[float]) -> Tensor:
    """Mean KL(q || p) for the scores of both words [batch, 2] and numbers [batch], cut at the bounds."""
    low, high = bounds
    share = ((labels.to(scores.dtype) - low) / (high - low)).clamp(0.0, 1.0)
    target = torch.stack([1.0 - share, share], dim=-1)
    return functional.kl_div(functional.log_softmax(scores, dim=-1), target, reduction="batchmean")


def _ends(fit: Fit) -> tuple[float, float]:
    """The least and the largest label of the training set, on the scale that models are trained on."""
    low, high = float(fit.train.targets.min()), float(fit.train.targets.max())
    if low == high:
        raise MethodError(
            f"all labels of the training set of task {fit.task.name} are one number; there are no two ends"
        )
    return low, high


@dataclass(frozen=True)
class _Head:
    """The parts of a head of masked language modelling."""

    dense: nn.Linear
    norm: nn.LayerNorm
    bias: Tensor
    activation: str


@dataclass(frozen=True)
class _Source:
    """The checkpoint that an encoder came from."""

    name: str
    options: dict[str, Any]
    config: Any

    @classmethod
    def of(cls, body: Any) -> "_Source":
        name, commit = str(body.config._name_or_path), getattr(body.config, "_commit_hash", None)
        pinned = {"revision": commit} if commit and not Path(name).is_dir() else {}
        return cls(name, {"trust_remote_code": False} | pinned, body.config)

    def tokenizer(self) -> Any:
        """The encoder's tokenizer, which must have a mask."""
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self.name, **self.options)
        if tokenizer.mask_token_id is None:
            raise MethodError(
                f"lm_bff needs an encoder pretrained to guess masked words; {self.name} has no mask token"
            )
        return tokenizer

    def head(self) -> _Head:
        """The pretrained head.

        Raises:
            MethodError: the checkpoint has none, or one of another form.
        """
        from transformers import AutoModelForMaskedLM
        from transformers.utils import logging

        if type(self.config) not in AutoModelForMaskedLM._model_mapping:
            raise self.without_head(f"transformers knows none for {self.config.model_type}")
        verbosity = logging.get_verbosity()
        logging.set_verbosity_error()  # It reports a classifier's head as unexpected, which is left out on purpose.
        logging.disable_progress_bar()
        try:
            options = {"config": self.config, "dtype": torch.float32, "output_loading_info": True} | self.options
            model, info = AutoModelForMaskedLM.from_pretrained(self.name, **options)
        finally:
            logging.set_verbosity(verbosity)
        body = f"{model.base_model_prefix}."
        missing = sorted(name for name in info["missing_keys"] if not name.startswith(body))
        if missing:
            raise self.without_head(f"its checkpoint lacks {', '.join(missing[:2])}")
        return self.parts(model)

    def parts(self, model: Any) -> _Head:
        """The head of a model, taken apart."""
        inside = {id(module) for module in model.base_model.modules()}
        outside = [module for module in model.modules() if id(module) not in inside]
        words = self.config.vocab_size
        table = model.get_input_embeddings().weight
        linears = [module for module in outside if isinstance(module, nn.Linear)]
        dense = [module for module in linears if module.out_features != words]
        decoders = [module for module in linears if module.out_features == words and module.bias is not None]
        norms = [module for module in outside if isinstance(module, nn.LayerNorm)]
        if not len(dense) == len(decoders) == len(norms) == 1 or not torch.equal(decoders[0].weight, table):
            raise self.without_head("its head is not one dense layer, a LayerNorm and the table of words")
        # RoBERTa's and MPNet's heads have GELU whatever the encoder has.
        activation = str(getattr(self.config, "hidden_act", None) or self.config.activation)
        activation = "gelu" if hasattr(model, "lm_head") else activation
        return _Head(dense[0], norms[0], decoders[0].bias.detach(), activation)

    def without_head(self, why: str) -> MethodError:
        """What is said of an encoder that cannot guess a word."""
        return MethodError(
            f"lm_bff needs an encoder with its pretrained head of masked language modelling, such as bert-base or "
            f"roberta-base; {self.name} has none that can be used: {why}"
        )


def _special(tokenizer: Any, name: str) -> dict[str, Any]:
    """The special tokens of a prompt, as this tokenizer puts them around one text and between two."""
    one, two = tokenizer("a")["input_ids"], tokenizer("a", "a")["input_ids"]
    first, last = one[0], one[-1]
    inner = two[1:-1]
    if len(one) < 3 or not (last in inner and two[0] == first and two[-1] == last):
        raise MethodError(f"lm_bff needs texts between a first and a last special token; {name} writes {one} and {two}")
    return {
        "first": first, "last": last, "mask": tokenizer.mask_token_id, "padding": tokenizer.pad_token_id,
        "between": inner.count(last), "closing": closing_tokens(tokenizer),
    }  # fmt: skip


def _longest(config: Any) -> int:
    """As many tokens as the encoder has positions for; RoBERTa's begin behind the number of its padding token."""
    return int(config.max_position_embeddings) - int(config.pad_token_id or 0) - 1
