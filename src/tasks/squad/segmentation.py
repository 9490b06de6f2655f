"""Segmentation of text for CMRC 2018's measure: Chinese by character, the rest by words as NLTK's `word_tokenize` splits them.

NLTK first finds sentences with Punkt, a model of English, and then splits each by the rules of the Penn Treebank. The measure
passes it text without capitals, hyphens, colons and the like. This module has the rules that can still apply, and gives the same
words as NLTK 3.3 to 3.9.2 (later versions also split at dashes). Of Punkt's model only the abbreviations are needed, with one
difference: after an initial or a number, Punkt lets a word begin a sentence if it has seen it in small letters at the beginning
of sentences and nowhere with a capital. Here no word does, which saves a list of 20,000.

Source: Kiss and Strunk, Unsupervised Multilingual Sentence Boundary Detection (2006), and the abbreviations of NLTK's
English model; the tokenizer of the Penn Treebank (MacIntyre, 1995) with NLTK's changes.
"""

import re
import string
from collections.abc import Iterator
from itertools import pairwise

# The official list contains "……" but is compared by character, so that it has no effect: … is kept.
_IGNORED = str.maketrans("", "", "-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
_UNIT = re.compile(r"[\u4e00-\u9fa5]|[^\u4e00-\u9fa5]+")


def fold(text: str) -> str:
    """Lower-case a text, and remove outer white space and the punctuation that does not count."""
    return text.lower().strip().translate(_IGNORED)


def segment(folded: str) -> list[str]:
    """The Chinese characters and the words of a text returned by `fold`."""
    return [word for unit in _UNIT.findall(folded) for word in ([unit] if "\u4e00" <= unit[0] <= "\u9fa5" else split_words(unit))]


def split_words(text: str) -> list[str]:
    """The words and punctuation marks of folded text without Chinese characters; quotes become `` and ''."""
    return [word for sentence in split_sentences(text) for word in _split_sentence(sentence)]


# Words of a sentence: each rule adds spaces, and their order matters.

_RULES = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"[«‘„]", r" \g<0> "),
        (r'^"', " `` "),  # a quote opens at the beginning and after a space or bracket
        (r"([ (\[{<])(?:\"|'')", r"\1 `` "),
        (r"'(?!re|ve|ll|m|t|s|d|n)(\w)\b", r"' \1"),
        (r"([^.])\.([\])}>\"'» ]*)\s*$", r"\1 . \2 "),  # only the last period of a sentence is separate from its word
        (r",(\D)", r" , \1"),
        (r",$", " , "),
        (r"\.{2,}|[;@#$%&?!]", r" \g<0> "),
        (r"([^'])' ", r"\1 ' "),
        (r"[][(){}<>»]", r" \g<0> "),
        (r"^|$", " "),
        (r"''|\"", " '' "),
        (r"\s+", " "),
        (r"([^' ])('[smd]|') ", r"\1 \2 "),
        (r"([^' ])('ll|'re|'ve|n't) ", r"\1 \2 "),
        (r"\b(can(?=not)|d(?='ye)|gim(?=me)|gon(?=na)|got(?=ta)|lem(?=me)|more(?='n)|wan(?=na\s))(not|'ye|me|na|ta|'n)\b", r" \1 \2 "),
        (r" ('t)(is)\b", r" \1 \2 "),
        (r" ('t)(was)\b", r" \1 \2 "),
    )
]


def _split_sentence(sentence):
    for pattern, replacement in _RULES:
        sentence = pattern.sub(replacement, sentence)
    return sentence.split()


# Sentences

_PUNKT_LIST = """
    a.a a.c a.d a.g a.h a.m a.m.e a.s a.t adm ala ariz aug ave b.f b.v bros c c.i.t c.o.m.b c.v calif chg cie co col colo conn corp cos
    ct d d.c d.h d.w dec dr e e.f e.h e.l e.m f f.g f.j feb fla fri ft g g.d g.f g.k ga gen h h.c h.f h.m i.m.s ill inc j.b j.c j.j j.k
    j.p j.r jan jr k kan ky l l.a l.f l.p lt ltd m m.b.a m.d.c m.j maj messrs mg mich minn mr mrs ms n n.c n.d n.h n.j n.m n.v n.y nev
    nov oct ok okla ore p p.a.m p.m pa ph.d prof r r.a r.h r.i r.j r.k r.t rep reps s s.a s.a.y s.c s.g s.p.a s.s sen sep sept sr st sw
    t t.j tenn tues u.k u.n u.s u.s.a u.s.s.r v va vs vt w w.c w.r w.va w.w wash wed wis yr
"""
_ABBREVIATIONS = frozenset(_PUNKT_LIST.split())
_INITIAL_OR_NUMBER = re.compile(r"[^\W\d]\.|[.,]?\d[\d,.]*\.")
_AFTER_WORD = r"[)\"};\]@'({\[?!]"  # marks that end the previous word, as spaces do
_END = re.compile(rf"[.?!](?=({_AFTER_WORD}|\s+(\S+)))")  # a possible end of a sentence, and what follows it
_TOKEN = re.compile(rf"\.{{2,}}|(?=[^(\"{{\[;&#@)}}\],])\S+?(?=,?(?:\s|$|{_AFTER_WORD}|\.{{2,}}))|\S")
_CLOSING = re.compile(r"[\"')\]}]+?(?:\s+|$)", re.MULTILINE)


def split_sentences(text: str) -> list[str]:
    """The sentences of folded text, without the spaces between them."""
    starts, ends = [0], []
    for match in _find_ends(text):
        ends.append(match.end())
        starts.append(match.start(2) if match[2] else match.end())
    ends.append(len(text.rstrip()))
    for index in range(1, len(starts)):  # closing quotes and brackets belong to the sentence before them
        closing = _CLOSING.match(text[starts[index] : ends[index]])
        if closing:
            ends[index - 1] = starts[index] + len(closing[0].rstrip())
            starts[index] += closing.end()
    return [text[start:end] for start, end in zip(starts, ends) if start < end]


def _find_ends(text: str) -> Iterator[re.Match[str]]:
    """Yield the matches of _END that do end a sentence; among several in one word only the last can."""
    matches = list(_END.finditer(text))
    begins = [_find_word(text, match.start()) for match in matches]
    for match, begin, next_begin in zip(matches, begins, [*begins[1:], len(text)]):
        if match.start() <= next_begin and _has_end(text[begin : match.end()] + match[1]):
            yield match


def _find_word(text, end):
    begin = max(text.rfind(space, 0, end) for space in string.whitespace) + 1
    return begin if begin > 1 else 0  # a space before the first word counts as part of it


def _has_end(context):
    """Whether a sentence ends inside `context`, which is a word and what follows it."""
    for token, following in pairwise(_TOKEN.findall(context)):
        if token in (".", "?", "!"):
            return True
        if not token.endswith(".") or token.endswith("..") or token[:-1] in _ABBREVIATIONS:
            continue
        goes_on = following[0].islower() or following in (";", ":", ",", ".", "!", "?")
        if not (_INITIAL_OR_NUMBER.fullmatch(token) and goes_on):
            return True
    return False
