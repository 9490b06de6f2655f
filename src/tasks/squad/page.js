// what the served page shows of an answer
const TASK = {
  words: {
    en: {
      title: "answers from a passage", question: "Question", context: "Passage", answer: "Answer", noAnswer: "The passage holds no answer.",
      others: "Next best", empty: "(no answer)",
    },
    zh: {
      title: "阅读理解", question: "问题", context: "段落", answer: "答案", noAnswer: "段落中没有答案。", others: "其他候选", empty: "（无答案）",
    },
  },
  show(prediction, instance) {
    const found = prediction.start !== null, others = prediction.n_best.filter((span) => span.start !== prediction.start || span.end !== prediction.end);
    const parts = [make("h2", word("answer")), bar(found ? prediction.answer : word("noAnswer"), prediction.probability)];
    parts.push(marked(instance.context, found ? [prediction] : []));
    if (others.length) parts.push(make("h2", word("others")), ...others.slice(0, 4).map((span) => bar(span.text || word("empty"), span.probability)));
    return parts;
  },
};
