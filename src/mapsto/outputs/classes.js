// One of several classes, told in a browser as mapsto.outputs.classes tells it.
import { inClassSet, order, tempered } from "./_calibrated.js";

/** type: the fitted type, with its `answers`; fitted: the calibration. -> of one row's arrays its answer. */
export default function told(type, fitted) {
  return ({ probability, value }) => {
    const chances = fitted.temperature == null ? [...probability.data] : tempered(probability.data, fitted.temperature);
    const said = Number(value.data[0]), inside = fitted.set && inClassSet(chances, fitted.set);
    return {
      value: type.answers[said],
      probability: chances[said],
      set: inside ? order(chances).filter((k) => inside[k]).map((k) => type.answers[k]) : null,
      probabilities: chances,
    };
  };
}
