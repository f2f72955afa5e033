// Format numbers for the page.

const fixed = new Intl.NumberFormat("en", {
  minimumFractionDigits: 2,
  maximumFractionDigits: 2,
  signDisplay: "exceptZero",
});

export function signed(value) {
  return fixed.format(value).replace("-", "\u2212");
}

export function percent(probability) {
  if (probability < 0.0005) return "below 0.1%";
  if (probability >= 0.9995) return "above 99.9%";
  return `${(100 * probability).toFixed(1)}%`;
}

export function many(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}
