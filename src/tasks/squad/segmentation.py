"""Text as CMRC 2018's measure counts it: Chinese by character, the rest by words as NLTK's `word_tokenize` splits them.

NLTK first finds sentences by Punkt, a model of English, and then splits each by the rules of the Penn Treebank. What the
measure hands to it has neither capitals nor hyphens, colons and the like; here are the rules that can still apply, and give
the same words as NLTK 3.3 to 3.9.2 (later ones also split at dashes). Of Punkt's model only the abbreviations matter then,
but for this: behind an initial or a number, Punkt lets a word begin a sentence if it knows it at the beginning of sentences
in small letters, and nowhere with a capital. Here no word does, which spares a list of 20,000.

Source: Kiss and Strunk, Unsupervised Multilingual Sentence Boundary Detection (2006), and the abbreviations of NLTK's
English model; the tokeniser of the Penn Treebank (MacIntyre, 1995), as NLTK changed it.
"""

import re
import string
from itertools import pairwise

# An ellipsis of two … is in the official list, which is compared by character: it has no effect, … is kept.
_IGNORED = str.maketrans("", "", "-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
_UNIT = re.compile(r"[\u4e00-\u9fa5]|[^\u4e00-\u9fa5]+")


def fold(text):
    """Text in lower case without spaces at its ends and without the punctuation that does not count."""
    return text.lower().strip().translate(_IGNORED)


def segment(folded):
    """The characters and words of a text that `fold` made, a list of str."""
    return [word for unit in _UNIT.findall(folded) for word in ([unit] if "\u4e00" <= unit[0] <= "\u9fa5" else split_words(unit))]


def split_words(text):
    """The words and punctuation marks of folded text without Chinese characters, a list of str; quotes become `` and ''."""
    return [word for sentence in split_sentences(text) for word in _split_sentence(sentence)]


# Words of a sentence: each rule adds spaces; their order matters

_RULES = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"[«‘„]", r" \g<0> "),
        (r'^"', " `` "),  # a quote opens at the beginning, and after a space or bracket
        (r"([ (\[{<])(?:\"|'')", r"\1 `` "),
        (r"'(?!re|ve|ll|m|t|s|d|n)(\w)\b", r"' \1"),
        (r"([^.])\.([\])}>\"'» ]*)\s*$", r"\1 . \2 "),  # only the last period of a sentence is not part of a word
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
_BEHIND_WORD = r"[)\"};\]@'({\[?!]"  # a mark that ends the word before it, besides spaces
_END = re.compile(rf"[.?!](?=({_BEHIND_WORD}|\s+(\S+)))")  # what may end a sentence, and what follows
_TOKEN = re.compile(rf"\.{{2,}}|(?=[^(\"{{\[;&#@)}}\],])\S+?(?=,?(?:\s|$|{_BEHIND_WORD}|\.{{2,}}))|\S")
_CLOSING = re.compile(r"[\"')\]}]+?(?:\s+|$)", re.MULTILINE)


def split_sentences(text):
    """The sentences of folded text, without the spaces between them; a list of str."""
    starts, ends = [0], []
    for match in _find_ends(text):
        ends.append(match.end())
        starts.append(match.start(2) if match[2] else match.end())
    ends.append(len(text.rstrip()))
    for after in range(1, len(starts)):  # closing quotes and brackets go with the sentence before them
        closing = _CLOSING.match(text[starts[after] : ends[after]])
        if closing:
            ends[after - 1] = starts[after] + len(closing[0].rstrip())
            starts[after] += closing.end()
    return [text[start:end] for start, end in zip(starts, ends) if start < end]


def _find_ends(text):
    """Matches of _END that do end a sentence; of several in one word the last may."""
    matches = list(_END.finditer(text))
    begins = [_find_word(text, match.start()) for match in matches]
    for match, begin, next_begin in zip(matches, begins, [*begins[1:], len(text)]):
        if match.start() <= next_begin and _has_end(text[begin : match.end()] + match[1]):
            yield match


def _find_word(text, end):
    begin = max(text.rfind(space, 0, end) for space in string.whitespace) + 1
    return begin if begin > 1 else 0  # a space before the first word counts as its part


def _has_end(context):
    """Whether a sentence ends inside of a word and what follows it."""
    for token, following in pairwise(_TOKEN.findall(context)):
        if token in (".", "?", "!"):
            return True
        if not token.endswith(".") or token.endswith("..") or token[:-1] in _ABBREVIATIONS:
            continue
        goes_on = following[0].islower() or following in (";", ":", ",", ".", "!", "?")
        if not (_INITIAL_OR_NUMBER.fullmatch(token) and goes_on):
            return True
    return False
