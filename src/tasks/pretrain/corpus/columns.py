"""The columns of pretraining records, by the names of Google's create_pretraining_data.py, and what is counted in them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from src.tasks.pretrain.corpus.options import BuilderOptions
from src.tasks.pretrain.masks import Masking, draw_masks
from src.tasks.pretrain.objectives import OBJECTIVES


def list_columns(options: BuilderOptions) -> dict[str, tuple[str, int]]:
    """Name -> (dtype, values per row) of each column: Google's names, and word_continues for whole words."""
    length, predictions = options.max_seq_length, options.max_predictions_per_seq
    columns = dict.fromkeys(("input_ids", "input_mask", "segment_ids"), ("int32", length))
    columns |= dict.fromkeys(("masked_lm_positions", "masked_lm_ids"), ("int32", predictions))
    columns |= {"masked_lm_weights": ("float32", predictions)}
    columns |= {"next_sentence_labels": ("int32", 1)} if OBJECTIVES[options.objective].pair else {}
    return columns | ({"word_continues": ("int32", length)} if options.do_whole_word_mask else {})


def make_columns(rows: Mapping[str, Any], keys: np.ndarray, masking: Masking) -> dict[str, np.ndarray]:
    """The columns of some rows: name -> array [B, values].

    Args:
        rows: as `lay_out` of the arrangement gives them.
        keys: uint64 [B], on which the masks depend.
    """
    continues, labels = rows["word_continues"], rows["labels"]
    input_ids, positions, true_ids, weights = draw_masks(rows["input_ids"], rows["lengths"], keys, masking, continues)
    columns = {
        "input_ids": input_ids,
        "input_mask": (np.arange(input_ids.shape[1]) < rows["lengths"][:, None]).astype(np.int32),
        "segment_ids": rows["segment_ids"],
        "masked_lm_positions": positions,
        "masked_lm_ids": true_ids,
        "masked_lm_weights": weights,
    }
    columns |= {} if labels is None else {"next_sentence_labels": labels[:, None]}
    return columns if continues is None else {**columns, "word_continues": continues.astype(np.int32)}


def count(columns: Mapping[str, np.ndarray], mask_id: int) -> dict[str, int]:
    """How many rows, tokens and predictions of each kind some columns have."""
    real = columns["masked_lm_weights"] > 0
    found = np.take_along_axis(columns["input_ids"], columns["masked_lm_positions"].astype(np.int64), 1)[real]
    is_mask, is_kept = found == mask_id, found == columns["masked_lm_ids"][real]
    return {
        "rows": len(real),
        "tokens": int(columns["input_mask"].sum()),
        "chosen": len(found),
        "mask": int(is_mask.sum()),
        "kept": int((is_kept & ~is_mask).sum()),
        "ones": int(columns["next_sentence_labels"].sum()) if "next_sentence_labels" in columns else 0,
    }


def summarise(counts: Mapping[str, int], options: BuilderOptions) -> dict[str, float]:
    """The statistics of all rows, from the sums of `count`."""
    label_one = OBJECTIVES[options.objective].label_one
    rows, tokens, chosen = counts["rows"], counts["tokens"], counts["chosen"]
    mask, kept = counts["mask"] / chosen, counts["kept"] / chosen
    return {
        "mean_length": tokens / rows,
        "padding_share": 1 - tokens / (rows * options.max_seq_length),
        "masked_tokens": chosen,
        "masked_share": chosen / tokens,
        "mask_share": mask,
        "keep_share": kept,
        "random_share": 1 - mask - kept,
        **({f"{label_one}_share": counts["ones"] / rows} if label_one else {}),
    }
