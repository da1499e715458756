// A number or a date with its interval, told in a browser as mapsto.outputs.regression tells it.
import { told as date } from "../types/number/dates.js";
import { halfwidth } from "./_calibrated.js";

export default function told(type, fitted) {
  const shown = type.kind === "date" ? date : (value) => value;
  return ({ value, spread }) => {
    const found = Number(value.data[0]), half = halfwidth(found, spread && Number(spread.data[0]), fitted);
    if (Number.isNaN(found)) return { value: NaN };
    return half == null ? { value: shown(found) } : { value: shown(found), low: shown(found - half), high: shown(found + half) };
  };
}
