// A stretch of a text, told in a browser as mapsto.outputs.span and mapsto.types.span tell it. Places are counted in
// characters, as Python counts them.

export default function told() {
  return ({ begin, end, probability }, source) => {
    const [first, behind] = [begin, end].map((place) => Number(place.data[0]));
    const value = [...(source?.text ?? "")].slice(first, behind).join("");
    return { value, probability: probability.data[0], begin: first, end: behind };
  };
}
