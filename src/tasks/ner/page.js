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
    return [make("h2", word("entities")), marked(prediction.text, spans.sort((a, b) => a.start - b.start))];
  },
};
