"""The commands that other programs' pages print, word for word but for paths: {weights}, {data} and {zoo} stand for folders.

RUNS are commands of the run scripts, whose flags are loaded; SCRIPTS are commands of launchers, which start stubs here.
"""

PERSEUS = """--task_name=news --do_train=true --do_eval=true --do_predict=true --data_dir={data} --vocab_file={weights}/vocab.txt
    --bert_config_file={weights}/bert_config.json --init_checkpoint={weights}/bert_model.ckpt --max_seq_length=128 --train_batch_size=48"""
TITLES = """--task_name=info --do_lower_case=true --do_train=false {modes} --save_for_serving=true --data_dir=./
    --vocab_file={weights}/vocab.txt --bert_config_file={weights}/bert_config.json --init_checkpoint={weights}/bert_model.ckpt
    --max_seq_length=64 --train_batch_size=32 --learning_rate=2e-5"""
PADDLE = """--use_cuda true --batch_size {rows} --in_tokens false --data_dir {data} --vocab_path {weights}/vocab.txt
    --bert_config_path {weights}/bert_config.json --save_steps 1000 --weight_decay 0.01 --skip_steps 1 --use_recompute true
    --use_mix_precision false --profile false"""
WITH_WEIGHTS = "--load_pretrain_checkpoint_path={weights}"

RUNS = [
    # Alibaba's Toutiao classifier by Perseus: one card, eight cards
    f"""python run_classifier.py {PERSEUS} --learning_rate=2e-5 --num_train_epochs=3.0 --output_dir=/tmp/news_output/ --use_tpu=false
    --use_fp16=false --use_perseus=true --use_amp=true""",
    f"""mpirun --allow-run-as-root -np 8 python run_classifier.py {PERSEUS} --learning_rate=8e-5 --num_train_epochs=3.0
    --warmup_proportion=0.8 --output_dir=/ncluster/news_output/ --use_tpu=false --use_perseus=true --use_amp=true""",
    # bert_multi_gpu: its scripts are heads of run_classifier.py
    f"""python ./bert_my/run_classifier_lr.py {TITLES.replace("{modes}", "--do_eval=false --do_predict=true")} --num_train_epochs=1.0
    --use_gpu=true --num_gpu_cores=2 --use_fp16=true --output_dir=./output_lr""",
    f"""python ./bert_my/run_classifier_cnn.py {TITLES.replace("{modes}", "--do_eval=true --do_predict=true")} --num_train_epochs=5.0
    --use_gpu=true --num_gpu_cores=2 --use_fp16=true --output_dir=./output""",
    # PaddlePaddle's recompute example
    f"""python run_classifier.py --task_name XNLI --do_train true --do_val true --do_test true --warmup_proportion 0.0
    --init_pretraining_params {{weights}} --checkpoints tmp --validation_steps 50 --epoch 3 --max_seq_len 512 --learning_rate 5e-5
    {PADDLE.replace("{rows}", "26")}""",
    f"""python run_pretrain.py --weight_sharing true --generate_neg_sample true --checkpoints ./output --learning_rate 1e-4
    --max_seq_len 512 --validation_steps 10000000000 --num_iteration_per_drop_scope 10 --loss_scaling 8.0
    {PADDLE.replace("{rows}", "56")}""",
    # the model zoo, first version: every flag of its usage texts
    """python run_pretrain.py --distribute=false --epoch_size=40 --device_num=1 --device_id=0 --enable_save_ckpt=true
    --device_target=Ascend --enable_lossscale=true --do_shuffle=true --enable_data_sink=true --data_sink_steps=1 --accumulation_steps=1
    --allreduce_post_accumulation=true --save_checkpoint_path="" --load_checkpoint_path="" --save_checkpoint_steps=1000
    --save_checkpoint_num=1 --data_dir={data} --schema_dir="" --train_steps=-1""",
    """python run_pretrain.py --data_dir={data} --bert_network=base --batch_size=16 --loss_scale_value=65536 --scale_factor=2
    --scale_window=1000 --optimizer=AdamWerigtDecayDynamicLR --seq_length=128 --vocab_size=21128 --hidden_size=768 --num_hidden_layers=12
    --num_attention_heads=12 --intermediate_size=3072 --hidden_act=gelu --hidden_dropout_prob=0.1 --attention_probs_dropout_prob=0.1
    --max_position_embeddings=512 --type_vocab_size=16 --initializer_range=0.02 --use_relative_positions=False --dtype=mstype.float32
    --compute_type=mstype.float16 --decay_steps=100 --learning_rate=3e-5 --end_learning_rate=1e-10 --power=5.0 --warmup_steps=10
    --weight_decay=1e-5 --eps=1e-6""",
    f"""python run_ner.py --device_target=Ascend --do_train=true --do_eval=true --assessment_method=f1 --use_crf=true --device_id=0
    --epoch_num=5 --vocab_file_path={{weights}}/vocab.txt --label2id_file_path=labels.txt --train_data_shuffle=true
    --eval_data_shuffle=true --save_finetune_checkpoint_path=ckpt {WITH_WEIGHTS} --load_finetune_checkpoint_path="" --schema_file_path=""
    --train_data_file_path=train.tfrecord --eval_data_file_path=dev.tfrecord --dataset_format=tfrecord""",
    f"""python run_squad.py --device_target=GPU --do_train=true --do_eval=true --device_id=0 --epoch_num=3 --num_class=2
    --vocab_file_path={{weights}}/vocab.txt --eval_json_path=dev-v1.1.json --train_data_shuffle=true --eval_data_shuffle=true
    --save_finetune_checkpoint_path=ckpt {WITH_WEIGHTS} --load_finetune_checkpoint_path="" --schema_file_path=""
    --train_data_file_path=train1.1.tfrecord --eval_data_file_path=dev1.1.tfrecord""",
    f"""python run_classifier.py --device_target=Ascend --do_train=true --do_eval=true --assessment_method=mcc --device_id=0 --epoch_num=3
    --num_class=2 --save_finetune_checkpoint_path=ckpt {WITH_WEIGHTS} --load_finetune_checkpoint_path="" --train_data_shuffle=true
    --eval_data_shuffle=true --train_data_file_path=train.tfrecord --eval_data_file_path=dev.tfrecord --schema_file_path=""
    --train_batch_size=32 --eval_batch_size=1""",
    """python src/finetune_data_preprocess.py --data_dir=/path/msra_dataset.xml --vocab_file={weights}/vocab.txt
    --save_path=/path/msra_dataset.mindrecord --label2id=/path/label2id_file --max_seq_len=128 --class_filter="NAMEX" --split_begin=0.0
    --split_end=1.0""",
    # its last version, whose settings files are in {zoo}
    f"""python run_classifier.py --config_path={{zoo}}/task_classifier_config.yaml --device_target CPU --do_train=true --do_eval=true
    --num_class=15 --train_data_file_path="" --eval_data_file_path="" {WITH_WEIGHTS}""",
    f"""python run_ner.py --config_path={{zoo}}/task_ner_cpu_config.yaml --device_target CPU --do_train=true --do_eval=true
    --assessment_method=Accuracy --use_crf=false --with_lstm=false --label_file_path="" --train_data_file_path=""
    --eval_data_file_path="" {WITH_WEIGHTS}""",
    f"""python run_ner.py --config_path={{zoo}}/task_ner_cpu_config.yaml --device_target CPU --do_train=true --do_eval=true
    --assessment_method=BF1 --use_crf=true --with_lstm=true --label_file_path="" --train_data_file_path="" --eval_data_file_path=""
    {WITH_WEIGHTS}""",
    f"""python run_squad.py --config_path={{zoo}}/task_squad_config.yaml --device_target CPU --do_train=true --do_eval=true
    --vocab_file_path="" --train_data_file_path="" --eval_json_path="" --dataset_format tfrecord {WITH_WEIGHTS}""",
    """python pretrain_eval.py --config_path={zoo}/pretrain_config_Ascend_Boost.yaml --schema_dir= --eval_data_dir={data}
    --eval_ckpt={weights}""",
]

# command -> what its stub must have been given
SCRIPTS = {
    "bash scripts/run_standalone_pretrain_ascend.sh 0 1 /path/cn-wiki-128": "run_pretrain.py --device_target Ascend --epoch_size 1",
    "bash scripts/run_standalone_pretrain_for_gpu.sh 0 1 /path/cn-wiki-128": "run_pretrain.py --device_target GPU --epoch_size 1",
    "bash scripts/run_distributed_pretrain_ascend.sh /path/cn-wiki-128 --dry_run": "run_pretrain.py --device_target Ascend",
    "bash scripts/run_distributed_pretrain_for_gpu.sh 8 40 /path/cn-wiki-128 --dry_run": "-n 8 ",
    "bash scripts/run_distributed_pretrain_for_gpu.sh /path/cn-wiki-128 --dry_run": "-n 1 ",
    "bash scripts/run_classifier.sh": "run_classifier.py --device_target auto",
    "bash scripts/run_ner.sh": "run_ner.py --device_target auto",
    "bash scripts/run_squad.sh": "run_squad.py --device_target auto",
    "bash scripts/squad.sh": "run_squad.py --device_target auto",
    "bash scripts/run_classifier_gpu.sh 1": "--device_id 1 --device_target GPU",
    "bash scripts/run_ner_gpu.sh 1": "--device_id 1 --device_target GPU",
    "bash scripts/run_squad_gpu.sh": "run_squad.py --device_target auto --do_train true --do_eval true --device_target GPU",
    "bash scripts/run_pretrain_eval_ascend.sh": "pretrain_eval.py --device_target Ascend",
    "bash scripts/run_eval_onnx.sh": "run_eval_onnx.py",
    "bash scripts/run_squad_1gcu.sh": "run_squad.py --device_target auto --do_train --do_eval --do_predict --init_checkpoint",
    "bash scripts/run_squad_8gcu.sh --dry_run": "MS_WORKER_NUM=8 ",
    "sh train_cls.sh": "run_classifier.py --device_target auto --config_path configs/classifier_xnli.yaml",
    "sh pretrain.sh": "run_pretrain.py --device_target auto --bert_config_file configs/networks/bert_large.json",
    "sh scripts/bert_large_max_batch_size.sh": "--train_batch_size 72000",
    "sh scripts/bert_base_max_batch_size.sh": "--train_batch_size 178000",
}
TRIED_ELSEWHERE = [command for command in SCRIPTS if "distributed" in command or "max_batch" in command or "gcu" in command]  # tests/launch
