"""Settings files with the keys and the form of the model zoo's: three YAML documents, values, help texts and choices."""

import json

import yaml

SHARED = {
    "enable_modelarts": False,
    **dict.fromkeys(("data_url", "train_url", "checkpoint_url"), ""),
    "data_path": "/cache/data",
    "output_path": "/cache/train",
    "load_path": "/cache/checkpoint_path",
    "device_target": "Ascend",
    "enable_profiling": False,
}
FINE_TUNING = {
    **SHARED,
    "do_train": "false",
    "do_eval": "false",
    "device_id": 0,
    "train_data_shuffle": "true",
    "eval_data_shuffle": "false",
    "train_batch_size": 32,
    "eval_batch_size": 1,
    "dataset_format": "mindrecord",
    **dict.fromkeys(("load_pretrain_checkpoint_path", "load_finetune_checkpoint_path", "schema_file_path"), ""),
    **dict.fromkeys(("train_data_file_path", "eval_data_file_path", "export_ckpt_file"), ""),
    "export_batch_size": 1,
    "file_format": "MINDIR",
}
NO_DECAY = {"decay_filter": ["layernorm", "bias"]}
NETWORK = {
    "vocab_size": 21128,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "initializer_range": 0.02,
    "use_relative_positions": False,
    "dtype": "mstype.float32",
    "compute_type": "mstype.float16",
}
LARGE = {**NETWORK, "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}


def _optimizers(name, rate, end, power, decay):
    schedule = {"learning_rate": rate, "end_learning_rate": end, "power": power}
    adam = {**schedule, "weight_decay": decay, **NO_DECAY, "eps": 0.000001}
    momentum = {"learning_rate": rate, "momentum": 0.9}
    return {"optimizer": name, "AdamWeightDecay": adam, "Lamb": {**schedule, "weight_decay": 0.01, **NO_DECAY}, "Momentum": momentum}


NER = {
    **FINE_TUNING,
    "description": "run_ner",
    "assessment_method": "BF1",
    "use_crf": "false",
    "with_lstm": "false",
    "epoch_num": 5,
    "vocab_file_path": "",
    "label_file_path": "",
    "export_file_name": "bert_ner",
    "save_finetune_checkpoint_path": "./ner_finetune/ckpt/",
    "optimizer_cfg": _optimizers("Lamb", 0.00002, 0.0000000001, 1.0, 0.00001),
    "bert_net_cfg": {"seq_length": 128, **NETWORK},
}
CLASSIFIER = {
    **FINE_TUNING,
    "description": "run_classifier",
    "assessment_method": "Accuracy",
    "epoch_num": 3,
    "num_class": 2,
    "save_finetune_checkpoint_path": "./classifier_finetune/ckpt/",
    "export_file_name": "bert_classifier",
    "optimizer_cfg": NER["optimizer_cfg"],
    "bert_net_cfg": NER["bert_net_cfg"],
}
SQUAD = {
    **FINE_TUNING,
    "description": "run_squad",
    "epoch_num": 3,
    "num_class": 2,
    "vocab_file_path": "",
    "eval_json_path": "",
    "save_finetune_checkpoint_path": "./squad_finetune/ckpt/",
    "export_file_name": "bert_squad",
    "use_pynative_mode": False,
    "optimizer_cfg": _optimizers("AdamWeightDecay", 0.0001, 0.00000000001, 5.0, 0.001),
    "bert_net_cfg": {"seq_length": 384, **NETWORK, "vocab_size": 30522},
}
PRETRAIN = {
    **SHARED,
    "description": "run_pretrain",
    "distribute": "false",
    "epoch_size": 40,
    "device_id": 0,
    "device_num": 1,
    **dict.fromkeys(("enable_save_ckpt", "enable_lossscale", "do_shuffle", "enable_data_sink", "allreduce_post_accumulation"), "true"),
    "data_sink_steps": 1,
    "accumulation_steps": 1,
    "save_checkpoint_steps": 10000,
    "save_checkpoint_num": 1,
    "train_steps": -1,
    **dict.fromkeys(("save_checkpoint_path", "load_checkpoint_path", "data_dir", "schema_dir", "schema_file"), ""),
    "dataset_format": "mindrecord",
    "num_samples": "None",
    "batch_size": 32,
    "bert_network": "base",
    "loss_scale_value": 65536,
    "scale_factor": 2,
    "scale_window": 1000,
    "optimizer": "Lamb",
    "enable_global_norm": False,
    "train_with_eval": "false",
    "eval_data_dir": "",
    "eval_ckpt": "",
    "eval_samples": 300000,
    "bucket_list": [],
    "AdamWeightDecay": {**SQUAD["optimizer_cfg"]["AdamWeightDecay"], "learning_rate": 0.00003, "warmup_steps": 10000},
    "Lamb": {
        "learning_rate": 0.0003,
        "end_learning_rate": 0.0,
        "power": 2.0,
        "warmup_steps": 10000,
        "weight_decay": 0.01,
        **NO_DECAY,
        "eps": 0.00000001,
        "beta1": 0.99,
        "beta2": 0.999,
    },
    "Momentum": {"learning_rate": 0.00002, "momentum": 0.9},
    "Thor": {"lr_max": 0.006464, "frequency": 100},
    "base_batch_size": 256,
    "base_net_cfg": NER["bert_net_cfg"],
    "nezha_batch_size": 96,
    "nezha_net_cfg": {"seq_length": 128, **LARGE, "use_relative_positions": True},
    "large_batch_size": 24,
    "large_net_cfg": {"seq_length": 512, **LARGE, "vocab_size": 30522},
    "large_boost_batch_size": 24,
    "large_boost_net_cfg": {"seq_length": 512, **LARGE, "vocab_size": 30522, "hidden_act": "fast_gelu", "hidden_dropout_prob": 0.0},
}
FILES = {
    "task_ner_config.yaml": NER,
    "task_ner_cpu_config.yaml": {**NER, "device_target": "CPU", "use_pynative_mode": False},
    "task_classifier_config.yaml": CLASSIFIER,
    "task_squad_config.yaml": SQUAD,
    "pretrain_config.yaml": PRETRAIN,
    "pretrain_config_Ascend_Boost.yaml": {
        **PRETRAIN,
        "train_steps": 17000,
        "bert_network": "large_boost",
        "bucket_list": [128, 256, 384, 512],
        "Lamb": {**PRETRAIN["Lamb"], "learning_rate": 0.00035, "end_learning_rate": 1e-9, "warmup_steps": 0, "beta1": 0.86},
    },
    "pretrain_config_Ascend_Thor.yaml": {**PRETRAIN, "optimizer": "Thor", "bert_network": "large_boost"},
}


def write(folder, name, **changes):
    """One of FILES in a folder, with some values changed; returns its path."""
    values = json.loads(json.dumps({**FILES[name], **changes}))  # copies, for which YAML needs no anchors
    helps = {key: f"about {key}" for key, value in values.items() if not isinstance(value, dict)}
    choices = {"device_target": ["Ascend", "GPU"], "do_train": ["true", "false"]}
    path = folder / name
    documents = [yaml.safe_dump(document, sort_keys=False) for document in (values, helps, choices)]
    path.write_text("# Settings\n" + "\n---\n# more\n".join(documents), encoding="utf-8")
    return path
