import json
import re

import pytest
from conftest import SHAPE

from src.config import fields, loader
from src.config.aliases import ALIASES, find_aliases, find_others
from src.tasks.classifier.options import ClassifierOptions
from src.tasks.ner.options import NerOptions
from src.tasks.pretrain.options import PretrainEvalOptions, PretrainOptions
from src.tasks.squad.options import SquadOptions


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the default output folder must not exist


def load(*flags):
    return loader.load(ClassifierOptions, ["--do_train=true", *flags])


def refusal(capsys, *flags):
    with pytest.raises(SystemExit) as caught:
        load(*flags)
    assert caught.value.code == 2
    return capsys.readouterr().err


def test_the_flags_of_the_toutiao_classifier_are_understood(tmp_path):
    """One card's command, its files aside."""
    command = """--task_name=news --do_train=true --do_eval=true --do_predict=true --data_dir=data --vocab_file=vocab.txt
        --max_seq_length=128 --train_batch_size=48 --learning_rate=2e-5 --num_train_epochs=3.0 --warmup_proportion=0.8
        --output_dir=/tmp/news_output/ --use_tpu=false --use_fp16=false --use_perseus=true --use_amp=true"""
    options = load(*command.split())
    assert (options.task_name, options.seq_length, options.train_batch_size, options.epoch_num) == ("news", 128, 48, 3.0)
    assert (options.optimizer.learning_rate, options.optimizer.warmup_proportion) == (2e-5, 0.8)
    assert options.vocab_file_path == "vocab.txt"
    assert (options.precision.compute_type, options.precision.loss_scale) == ("auto", "dynamic")


def test_the_flags_of_bert_multi_gpu_are_understood(capsys):
    command = """--task_name=info --do_lower_case=true --do_train=false --do_eval=true --do_predict=true --save_for_serving=false
        --data_dir=./ --vocab_file=./vocab.txt --max_seq_length=64 --train_batch_size=32 --learning_rate=2e-5
        --num_train_epochs=5.0 --use_gpu=true --num_gpu_cores=2 --use_fp16=true --output_dir=./output --head=cnn"""
    options = load(*command.split())
    assert (options.task_name, options.head, options.do_lower_case, options.do_train) == ("info", "cnn", True, False)
    assert (options.precision.compute_type, options.precision.loss_scale) == ("auto", "static")
    said = capsys.readouterr().out.splitlines()
    assert any(line.startswith("--use_gpu=true has no effect: --device_target") for line in said)
    assert any(line.startswith("--num_gpu_cores=2 has no effect") for line in said)


def test_the_flags_of_nvidias_run_squad_are_understood(capsys):
    command = """--init_checkpoint=base.pt --do_train --do_eval --do_predict --train_file=train-v1.1.json --predict_file=dev-v1.1.json
        --train_batch_size=8 --predict_batch_size=8 --do_lower_case --bert_model=bert-large-uncased --learning_rate=3e-5 --max_steps=-1
        --num_train_epochs=2 --seed=1 --max_seq_length=384 --doc_stride=128 --max_query_length=64 --n_best_size=20 --max_answer_length=30
        --version_2_with_negative --null_score_diff_threshold=0.5 --output_dir=out --vocab_file=vocab.txt --config_file=config.json
        --json-summary=logger.json --eval_script=evaluate-v1.1.py --disable-progress-bar --use_env --skip_steps=5 --print_freq=20
        --amp --loss_scale=128 --gradient_accumulation_steps=1 --weight_decay=0.01 --no_cuda --cache_dir=cache --workers=8"""
    with open("config.json", "w") as file:
        file.write(json.dumps(SHAPE))
    with open("base.pt", "wb"):
        pass
    options = loader.load(SquadOptions, command.split())
    assert (options.load_pretrain_checkpoint_path, options.bert_config_file, options.train_updates) == ("base.pt", "config.json", None)
    assert options.train_data_file_path == "train-v1.1.json"
    assert options.eval_data_file_path == options.predict_data_file_path == "dev-v1.1.json"
    assert options.device_target == "CPU"
    assert (options.skip_steps, options.log_steps, options.do_lower_case, options.version_2_with_negative) == (5, 20, True, True)
    assert (options.precision.compute_type, options.precision.loss_scale, options.precision.loss_scale_value) == ("auto", "static", 128.0)
    assert "--eval_script=evaluate-v1.1.py has no effect: the measure" in capsys.readouterr().out


def test_the_flags_of_paddles_fine_tuning_are_understood(capsys):
    """bert_large_max_batch_size.sh of PaddleFleetX, and the rest of its run_classifier.py's flags."""
    with open("bert_config.json", "w") as file:
        file.write(json.dumps(SHAPE))
    command = """--task_name XNLI --use_cuda true --do_train true --do_val true --do_test false --batch_size 72000 --in_tokens true
        --data_dir xnli --vocab_path vocab.txt --checkpoints tmp --save_steps 1000 --weight_decay 0.01 --warmup_proportion 0.0
        --validation_steps 50 --epoch 3 --max_seq_len 128 --bert_config_path bert_config.json --learning_rate 5e-5 --skip_steps 1
        --use_recompute true --use_mix_precision false --random_seed 7 --shuffle_seed 123 --shuffle false --verbose true
        --lr_scheduler linear_warmup_decay --use_fp16 true --loss_scaling 8.0 --use_fast_executor false
        --num_iteration_per_drop_scope 1 --profile false --do_lower_case true --enable_ce"""
    options = load(*command.split())
    assert (options.task_name, options.do_eval, options.do_predict, options.use_recompute) == ("xnli", True, False, True)
    assert (options.train_batch_size, options.eval_batch_size, options.batch_in_tokens) == (562, 32, False)
    assert (options.vocab_file_path, options.bert_config_file, options.checkpoint_dir) == ("vocab.txt", "bert_config.json", "tmp")
    assert (options.save_checkpoint_steps, options.epoch_num, options.seq_length, options.seed) == (1000, 3, 128, 7)
    assert (options.train_data_shuffle, options.device_target) == (False, "auto")
    assert (options.optimizer.schedule, options.optimizer.power, options.optimizer.end_learning_rate) == ("polynomial", 1, 0)
    assert (options.precision.compute_type, options.precision.loss_scale, options.precision.loss_scale_value) == ("auto", "static", 8.0)
    said = capsys.readouterr().out
    assert options.eval_steps == 50
    told = ("shuffle_seed=123", "verbose=true", "use_fast_executor=false", "num_iteration_per_drop_scope=1")
    assert all(f"--{flag} has no effect: " in said for flag in (*told, "profile=false", "enable_ce=true"))


def test_the_flags_of_paddles_pretraining_are_understood(capsys):
    command = """--use_cuda true --weight_sharing true --batch_size 56 --data_dir train --validation_set_dir validation --in_tokens false
        --generate_neg_sample true --checkpoints ./output --save_steps 10000 --learning_rate 1e-4 --weight_decay 0.01 --max_seq_len 512
        --skip_steps 1 --validation_steps 500 --num_iteration_per_drop_scope 10 --num_threads 2 --loss_scaling 8.0 --profile false
        --use_recompute true --use_mix_precision false --lr_scheduler noam_decay --num_train_steps 1000000 --warmup_steps 4000
        --epoch 100 --do_test false"""
    options = loader.load(PretrainOptions, command.split())
    assert (options.train_batch_size, options.epoch_num, options.train_steps, options.seq_length) == (56, 100, 1000000, 512)
    assert (options.eval_data_dir, options.train_with_eval, options.evaluate_every) == ("validation", True, 500)
    assert (options.output_dir, options.log_steps, options.precision.compute_type) == ("./output", 1, "float32")
    assert (options.optimizer.schedule, options.optimizer.warmup_steps) == ("noam", 4000)
    said = capsys.readouterr().out
    assert "--loss_scaling=8.0 has no effect: it goes with --use_fp16 true" in said
    assert "--generate_neg_sample=true has no effect" in said
    assert "validation" not in said
    assert not loader.load(PretrainOptions, ["--data_dir=x", "--validation_set_dir="]).train_with_eval


@pytest.mark.parametrize(
    ("flag", "part"),
    [
        ("weight_sharing=false", "--weight_sharing=false: the masked LM's output weights are the word embeddings"),
        ("lr_scheduler=cosine", "lr_scheduler=cosine is not allowed: it must be one of linear_warmup_decay, noam_decay"),
        ("use_mix_precision=1", "use_mix_precision=1: expected true or false"),
        ("validation_set_dir=x", "--validation_set_dir"),  # of pretraining
    ],
)
def test_what_paddles_flags_ask_for_and_is_not_here_is_refused(flag, part, capsys):
    assert part in refusal(capsys, f"--{flag}")


def test_paddles_mixed_precision_scales_dynamically():
    precision = load("--use_mix_precision=true", "--loss_scaling=8").precision
    assert (precision.compute_type, precision.loss_scale, precision.loss_scale_value) == ("auto", "dynamic", None)


def test_a_number_of_accumulated_batches_is_refused_where_programs_differ_in_its_meaning(capsys):
    assert "give --accumulation_steps" in refusal(capsys, "--gradient_accumulation_steps=2")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [(("--loss_scale=0",), ("dynamic", None)), (("--amp", "--loss_scale=64"), ("static", 64.0)), (("--fp16",), ("dynamic", None))],
)
def test_nvidias_loss_scale(flags, expected):
    precision = load(*flags).precision
    assert (precision.loss_scale, precision.loss_scale_value) == expected


@pytest.mark.parametrize(
    ("flags", "compute_type"),
    [
        ((), "auto"),
        (("--use_fp16=false",), "float32"),
        (("--use_fp16=false", "--use_amp=false"), "float32"),
        (("--use_amp=true", "--precision.compute_type=float16"), "float16"),
    ],
)
def test_the_switches_of_precision(flags, compute_type):
    assert load(*flags).precision.compute_type == compute_type


def test_a_pretraining_does_not_export(capsys):
    assert loader.load(PretrainOptions, ["--data_dir=x", "--save_for_serving=false"])
    with pytest.raises(SystemExit, match="2"):
        loader.load(PretrainOptions, ["--data_dir=x", "--save_for_serving=true"])
    assert "python -m src.export --task pretrain" in capsys.readouterr().err


def test_both_names_of_the_export_count():
    assert load("--save_for_serving=true").save_for_serving and load("--do_export=true").save_for_serving
    assert not load().save_for_serving


def test_a_switch_by_its_other_name_may_stand_alone():
    options = load("--do_val", "--do_test", "--in_tokens=false")
    assert options.do_eval and options.do_test and options.do_predict


def test_of_a_setting_by_both_its_names_the_later_counts():
    assert load("--max_seq_length=64", "--seq_length=32").seq_length == 32
    assert load("--seq_length=32", "--max_seq_length=64").seq_length == 64


def test_no_cuda_is_the_cpu():
    assert load("--no_cuda").device_target == "CPU"
    assert load("--no_cuda=false").device_target == "auto"
    assert load("--no_cuda", "--device_target=Ascend").device_target == "Ascend"
    assert load("--use_cuda=false").device_target == "CPU"
    assert load("--use_cuda=true").device_target == "auto"


def test_help_tells_what_each_alias_stands_for(capsys):
    with pytest.raises(SystemExit):
        load("--help")
    text = " ".join(capsys.readouterr().out.split())
    keys = [key for key, *_ in fields.leaves(ClassifierOptions)]
    for name, ours in find_aliases(keys).items():
        assert re.search(rf"--{re.escape(name)} \S+ the same as --{re.escape(ours)}", text)
    for name in find_others(keys):
        assert f"--{name} " in text


def test_help_shows_the_defaults_of_the_script(capsys):
    with pytest.raises(SystemExit):
        loader.load(SquadOptions, ["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--optimizer.learning_rate X peak learning rate (above 0) [0.0001]" in text
    assert "--do_train [true|false] fine-tune on the training set [false]" in text
    assert "--bucket_list N,... up to four" in text
    assert "--optimizer.power X exponent of the polynomial (above 0) [5.0]" in text


def test_every_alias_stands_for_a_setting_and_hides_none():
    classes = (ClassifierOptions, NerOptions, PretrainOptions, PretrainEvalOptions, SquadOptions)
    scripts = [{key for key, *_ in fields.leaves(options)} for options in classes]
    for ours in ALIASES.values():
        assert set(ours) <= set.union(*scripts)
    for names in scripts:
        found = find_aliases(names)
        assert set(found.values()) <= names
        assert not names & {*found, *find_others(names)}


def test_one_flag_means_what_the_script_calls_so():
    assert find_aliases(["train_batch_size", "eval_batch_size"]) == {"batch_size": "train_batch_size"}
    assert find_aliases(["eval_batch_size"]) == {"batch_size": "eval_batch_size"}


def test_a_file_of_settings_may_use_the_other_names(tmp_path, caplog):
    path = tmp_path / "settings.yaml"
    path.write_text("batch_size: 4\nlearning_rate: 1e-3\noptimizer:\n  name: Momentum\ndataset_format: tfrecord\nepoch_size: 2\n")
    options = loader.load(PretrainOptions, ["--data_dir=x", f"--config_path={path}"])
    assert (options.train_batch_size, options.epoch_num) == (4, 2)
    assert (options.optimizer.name, options.optimizer.learning_rate) == ("Momentum", 1e-3)
    (told,) = [record for record in caplog.records if "has no effect" in record.message]
    assert (told.levelname, told.message) == ("WARNING", "dataset_format=tfrecord has no effect: records are recognised by their content")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batch_size: 4\ntrain_batch_size: 8\n", "batch_size and train_batch_size are one setting; give one of them"),
        ("max_steps: 5\nnum_train_steps: 7\n", "num_train_steps and max_steps are one setting; give one of them"),
        ("learning_rate: 1\noptimizer: {learning_rate: 2}\n", "learning_rate and optimizer.learning_rate are one setting"),
        ("optimizer: Lamb\nlearning_rate: 0.001\n", "optimizer=Lamb: a group of settings is expected"),
        ("optimizer:\nlearning_rate: 0.001\n", "optimizer=None: a group of settings is expected"),
        ("precision: float16\nloss_scale_value: 8\n", "precision=float16: a group of settings is expected"),
    ],
)
def test_one_setting_by_two_names_and_a_group_that_is_none_are_refused(text, message, tmp_path, capsys):
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    with pytest.raises(SystemExit) as caught:
        loader.load(PretrainOptions, ["--data_dir=x", f"--config_path={path}"])
    assert caught.value.code == 2
    assert f"{path}: {message}" in capsys.readouterr().err


@pytest.mark.parametrize("options_class", [NerOptions, SquadOptions])
def test_a_number_of_classes_has_no_effect_where_labels_determine_it(options_class, capsys):
    loader.load(options_class, ["--do_train", "--num_class=41"])
    assert "--num_class=41 has no effect: the task and its labels determine the outputs" in capsys.readouterr().out
