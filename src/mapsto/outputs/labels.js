// Any number of labels at once, told in a browser as mapsto.outputs.labels tells them.
import { order, rounded, tempered } from "./_calibrated.js";

export default function told(type, fitted) {
  const honest = (chance) => (fitted.temperature == null ? chance : tempered([Math.fround(1 - chance), chance], fitted.temperature)[1]);
  return ({ probability, value }) => {
    const chances = Array.from(probability.data, honest);
    const named = (places) => places.map((k) => type.answers[k]);
    return {
      value: named([...chances.keys()].filter((k) => value.data[k])),
      set: fitted.set ? named(order(chances).filter((k) => rounded(chances[k]) >= fitted.set.least)) : null,
      probabilities: chances,
    };
  };
}
