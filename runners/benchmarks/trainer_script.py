"""The finetuning script that one would write with transformers.Trainer, as the yardstick for a sweep.

`python runners/benchmarks/trainer_script.py JOB.json OUT.json` does the job's runs one after the other. It imports
nothing from this project, so that it costs as much as a user's own script.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)

EVALUATION_BATCH = 64


def encoded(split: dict[str, Any], tokenizer: Any, job: dict[str, Any]) -> Any:
    """The rows of a split in Trainer's format, padded to the full length if the job asks for it."""
    padding = "max_length" if job["padding"] == "fixed" else False
    rows = tokenizer(*split["texts"], truncation=True, max_length=job["recipe"]["max_length"], padding=padding)
    return [
        {name: values[number] for name, values in rows.items()} | {"labels": label}
        for number, label in enumerate(split["labels"])
    ]


def arguments(job: dict[str, Any], seed: int, steps: int, folder: str) -> TrainingArguments:
    """The project's recipe as TrainingArguments: AdamW, linear warm-up and decay, dev scores after every epoch.

    The job says whether a process trains on one thread of the CPU or on a GPU, there with bf16.
    """
    recipe = job["recipe"]
    return TrainingArguments(
        output_dir=folder,
        learning_rate=recipe["lr"],
        num_train_epochs=recipe["epochs"],
        per_device_train_batch_size=recipe["batch_size"],
        per_device_eval_batch_size=EVALUATION_BATCH,
        warmup_steps=int(recipe["warmup_ratio"] * steps),
        weight_decay=recipe["weight_decay"],
        max_grad_norm=recipe["clip_norm"],
        eval_strategy="epoch",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=job["device"] == "cpu",
        bf16=job["bf16"],
        seed=seed,
    )


def finetune(job: dict[str, Any], run: dict[str, Any], tokenizer: Any) -> list[float]:
    """Do one run from the pretrained weights; returns its predictions on the test set, class ids or numbers."""
    set_seed(run["seed"])
    model = AutoModelForSequenceClassification.from_pretrained(
        job["encoder"], num_labels=run["outputs"], **job["layers"]
    )
    train, dev = (encoded(run[split], tokenizer, job) for split in ("train", "dev"))
    test = encoded(job["tests"][run["task"]], tokenizer, job)
    steps = job["recipe"]["epochs"] * -(-len(train) // job["recipe"]["batch_size"])
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=arguments(job, run["seed"], steps, folder),
            train_dataset=train,
            eval_dataset=dev,
            data_collator=DataCollatorWithPadding(tokenizer),
        )
        if trainer.args.device.type != job["device"]:
            raise SystemExit(f"the script was to train on {job['device']}, but Trainer uses {trainer.args.device}")
        trainer.train()
        outputs: Any = trainer.predict(test).predictions
    predictions: list[float] = (outputs[:, 0] if run["outputs"] == 1 else outputs.argmax(axis=1)).tolist()
    return predictions


def main(job_file: Path, out: Path) -> None:
    """Do the runs of a job and write their predictions."""
    job = json.loads(job_file.read_text(encoding="utf-8"))
    if job["device"] == "cpu":
        torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(job["encoder"])
    out.write_text(json.dumps([finetune(job, run, tokenizer) for run in job["runs"]]), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
