from src.tasks.pretrain.corpus import python_docs
from src.tasks.pretrain.corpus.text import read_corpus


def test_topics_are_prose_without_rules_and_prompts():
    documents = python_docs.read_topics()
    assert len(documents) > 30
    for paragraph in (paragraph for document in documents for paragraph in document):
        assert len(paragraph.split()) >= 6
        assert ">>>" not in paragraph and "****" not in paragraph and "\n" not in paragraph


def test_the_files_are_a_corpus_and_share_no_topic(tmp_path):
    python_docs.main(["--output_dir", str(tmp_path)])
    found = {}
    for split in ("train", "dev"):
        lines = list(read_corpus([tmp_path / f"{split}.txt"]))
        found[split] = "\n".join(lines).strip().split("\n\n")
    assert len(found["train"]) + len(found["dev"]) == len(python_docs.read_topics())
    assert not set(found["train"]) & set(found["dev"])
    assert 5 <= len(found["dev"]) <= len(found["train"]) / 5
