// what the served page shows of masked words, or of the likelihood of a sentence
const TASK = {
  words: {
    en: { title: "masked words", likelihood: "Log-likelihood", perplexity: "Perplexity", tokens: "Probability of each token" },
    zh: { title: "完形填空", likelihood: "对数似然", perplexity: "困惑度", tokens: "每个词元的概率" },
  },
  show(prediction) {
    if ("log_likelihood" in prediction) {
      const tokens = prediction.tokens.map(({ token, probability }) => bar(token, probability));
      const totals = ["likelihood", "perplexity"].map((key, index) => make("p", `${word(key)}: ${(index ? prediction.perplexity : prediction.log_likelihood).toFixed(3)}`));
      return [...totals, make("h2", word("tokens")), ...tokens];
    }
    const parts = [make("p", prediction.filled, "marked")];
    for (const { first, masks, candidates } of prediction.words) {
      const numbers = Array.from({ length: masks }, (_, index) => first + index + 1).join("+");
      parts.push(make("h2", `[MASK] ${numbers}`), ...candidates.map(({ word: name, probability }) => bar(name, probability)));
    }
    prediction.masks.forEach((candidates, index) => {
      parts.push(make("h2", `[MASK] ${index + 1}`), ...candidates.map(({ token, probability }) => bar(token, probability)));
    });
    return parts;
  },
};
