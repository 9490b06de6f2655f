// what the page shows of a task that says nothing itself: the result as JSON
const TASK = {
  words: { en: {}, zh: {} },
  show(prediction) {
    return [make("pre", JSON.stringify(prediction, null, 2))];
  },
};
