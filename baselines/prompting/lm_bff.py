"""LM-BFF: finetuning with a prompt whose missing word the encoder has been pretrained to predict."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from typing_extensions import override

from amix.data.encoded import Batch
from amix.models.with_addition import EncoderWithAddition
from amix.specs.launch import processes
from amix.specs.recipe import Recipe
from amix.specs.task import Task
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
    """LM-BFF without demonstrations: each text becomes a prompt with a masked word, each label a word that may fill it.

    With T(x) the prompt, M(y) the word of label y, h the hidden state at the mask and w_v the weights of word v in the
    masked-language-modelling head (section 4.1, equation 1):

        p(y|x) = exp(w_M(y) . h) / sum over labels y' of exp(w_M(y') . h),    L = mean cross-entropy of p.

    In regression between v_l and v_u, with one word for each end (section 4.2, equations 2 and 3):

        y = v_l p(y_l|x) + v_u p(y_u|x),    L = mean KL(q || p),  q(y_u) = (y - v_l) / (v_u - v_l).

    Gao et al. (2021), with the manual prompts and words of their table 1 for the GLUE tasks, CR and SST-5; other tasks
    need `template` and `label_words`. They train for 1000 updates with batches of 2, 4 or 8 at 1e-5, 2e-5 or 5e-5,
    chosen on dev data; here all of these are the recipe's. Official code: princeton-nlp/LM-BFF.

    Official options that change numbers (run_experiment.sh, run.py): template is `template`, in the paper's notation;
    mapping is `label_words`; of few_shot_type, prompt is this method and finetune is plain finetuning, while
    prompt-demo (examples in the prompt), searched templates and words, and ensembles of templates are not here.
    max_seq_length, batch size, steps and learning rate are the recipe's. first_sent_limit and truncate_head are not
    here: texts are cut to the recipe's length first and the prompt is added to them, so that it is never cut itself.

    Departs: a prompt is built from the tokens that every other method reads, so that a second text follows without a
    space and keeps its first letter as it is (`+sentl_1` adds the space and lowers the letter: src/dataset.py). `<S1->`
    drops a full stop, question mark or exclamation mark at the end, `sent-_0` any last character. The loss of a
    regression is the paper's; src/models.py passes log p and q itself to torch's KLDivLoss with `log_target`, which is
    another function. Their BERT class refers to `self.roberta` and cannot run; here any encoder will do whose head is
    one dense layer, a LayerNorm and the table of word embeddings (BERT, RoBERTa, DeBERTa, MPNet, ELECTRA).
    """

    @dataclass(frozen=True)
    class Config:
        """template: [MASK], and <S1> and <S2> for the texts (<S1-> drops a closing mark); empty: the published one.

        label_words: one per label, in the order of their ids; in regression one for the low and one for the high end.
        """

        template: str = ""
        label_words: tuple[str, ...] = ()

    name = "lm_bff"
    info = MethodInfo(
        paper="Gao et al., ACL 2021",
        year=2021,
        kind="prompting",
        parity="departs: no space before the second text, another loss in regression; the official code was not run",
        plain_checkpoint=False,
        needs_language_model=True,
        micro_batches=True,
        toy_settings={"template": "the <S1> over [MASK] .", "label_words": ("sad", "great")},
    )

    @override
    def check_encoder(self, model: Model, task: Task, recipe: Recipe) -> None:
        """Look for the prompt, for its words in the vocabulary, and for the pretrained head.

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

    @override
    def prepare(self, model: Model, fit: Fit) -> Model:
        """The encoder and its pretrained head, which read each text in its prompt."""
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
        extended = EncoderWithAddition(None, addition.to(fit.device))
        fit.cost.watch(extended)
        return extended.train()

    @override
    def loss(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """Cross-entropy over the label words; in regression the divergence from the shares of the two ends."""
        addition = model.addition
        assert isinstance(addition, PromptClassifier)
        if fit.part is not None:
            addition.pad_like(*(fit.part.whole[name] for name in ("input_ids", "attention_mask")))
        outputs = fit.logits(model, batch)
        addition.least = 0
        if not fit.task.regression:
            return fit.task_loss(outputs, batch)
        assert addition.scores is not None
        loss = divergence(addition.scores, batch["labels"], addition.bounds)
        return loss if processes() == 1 else loss * weight(len(outputs), outputs.device)


def divergence(scores: Tensor, labels: Tensor, bounds: list[float]) -> Tensor:
    """Mean KL(q || p) from the scores of both words [batch, 2] and the labels [batch], which are cut at the bounds."""
    low, high = bounds
    share = ((labels.to(scores.dtype) - low) / (high - low)).clamp(0.0, 1.0)
    target = torch.stack([1.0 - share, share], dim=-1)
    return functional.kl_div(functional.log_softmax(scores, dim=-1), target, reduction="batchmean")


def _ends(fit: Fit) -> tuple[float, float]:
    """The lowest and the highest label of the training set, on the scale on which models are trained."""
    low, high = float(fit.train.targets.min()), float(fit.train.targets.max())
    if low == high:
        raise MethodError(
            f"all training labels of task {fit.task.name} are the same number; lm_bff needs a lowest and a highest one"
        )
    return low, high


@dataclass(frozen=True)
class _Head:
    """The parts of a masked-language-modelling head."""

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
        """The encoder's tokenizer, which must have a mask token."""
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self.name, **self.options)
        if tokenizer.mask_token_id is None:
            raise MethodError(
                f"lm_bff needs an encoder pretrained to predict masked words; {self.name} has no mask token"
            )
        return tokenizer

    def head(self) -> _Head:
        """The pretrained head.

        Raises:
            MethodError: The checkpoint has none, or one of another form.
        """
        from transformers import AutoModelForMaskedLM
        from transformers.utils import logging

        if type(self.config) not in AutoModelForMaskedLM._model_mapping:
            raise self.without_head(f"transformers knows none for {self.config.model_type}")
        verbosity = logging.get_verbosity()
        logging.set_verbosity_error()  # It would report weights of other heads, which are left out on purpose.
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
            raise self.without_head("its head is not one dense layer, a LayerNorm and the table of word embeddings")
        # The heads of RoBERTa and MPNet use GELU, whatever activation the encoder has.
        activation = str(getattr(self.config, "hidden_act", None) or self.config.activation)
        activation = "gelu" if hasattr(model, "lm_head") else activation
        return _Head(dense[0], norms[0], decoders[0].bias.detach(), activation)

    def without_head(self, why: str) -> MethodError:
        """The error for an encoder that cannot predict a word."""
        return MethodError(
            f"lm_bff needs an encoder with its pretrained masked-language-modelling head, such as bert-base or "
            f"roberta-base; {self.name} has none that can be used: {why}"
        )


def _special(tokenizer: Any, name: str) -> dict[str, Any]:
    """The special tokens of a prompt, as this tokenizer sets them around one text and between two."""
    one, two = tokenizer("a")["input_ids"], tokenizer("a", "a")["input_ids"]
    first, last = one[0], one[-1]
    inner = two[1:-1]
    if len(one) < 3 or not (last in inner and two[0] == first and two[-1] == last):
        raise MethodError(
            f"lm_bff needs a tokenizer that sets texts between a first and a last special token; that of {name} turns "
            f"one text into {one} and two into {two}"
        )
    return {
        "first": first, "last": last, "mask": tokenizer.mask_token_id, "padding": tokenizer.pad_token_id,
        "between": inner.count(last), "closing": closing_tokens(tokenizer),
    }  # fmt: skip


def _longest(config: Any) -> int:
    """The most tokens that the encoder has positions for; RoBERTa's positions start after its padding token's id."""
    return int(config.max_position_embeddings) - int(config.pad_token_id or 0) - 1
