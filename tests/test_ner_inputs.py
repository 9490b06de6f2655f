from types import SimpleNamespace

from src.tasks.ner import inputs as ner_inputs


def test_types_are_matched_with_the_labels_without_regard_to_case(tmp_path, capsys):
    path = tmp_path / "dev.bio"
    path.write_text("a B-per\nb I-per\nc B-LOC\nd B-Org\n", encoding="utf-8")
    config = SimpleNamespace(
        encoding=None, eval_data_file_path=path, class_filter=(), labels=("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "B-org")
    )
    (sentence,) = ner_inputs.sentences_of(config, "eval", path, ner_inputs.read(config, "eval", path))
    assert [entity.type for entity in sentence.entities] == ["PER", "LOC", "Org"]  # two labels are like the last
    assert capsys.readouterr().out == f"{path}: types are matched without regard to case: per is PER\n"
