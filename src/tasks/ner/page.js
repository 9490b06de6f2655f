// what the served page shows of named entities
const TASK = {
  words: {
    en: { title: "named entities", entities: "Entities", none: "No entities found." },
    zh: { title: "命名实体识别", entities: "实体", none: "没有找到实体。" },
  },
  show(prediction) {
    if (!prediction.entities.length) return [make("p", word("none"))];
    const kinds = [...new Set(prediction.entities.map((entity) => entity.type))].sort();
    const spans = prediction.entities.map((entity) => ({ ...entity, label: entity.type, className: `kind${kinds.indexOf(entity.type) % 8}` }));
    return [make("h2", word("entities")), ...layers(spans).map((layer) => marked(prediction.text, layer))];
  },
};

// lists of spans that `marked` can show; of two that cross, the later one is in another list
function layers(spans) {
  const found = [];
  for (const span of spans.sort((a, b) => a.start - b.start || b.end - a.end)) {
    const layer = found.find((others) => others.every((other) => other.end <= span.start || span.end <= other.end));
    if (layer) layer.push(span); else found.push([span]);
  }
  return found;
}
