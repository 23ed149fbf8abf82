/** Hues of lines: distinguishable with color vision deficiencies, and named in the legend. */
export const LINE_COLORS = [
  "#3b6fd6",
  "#d9822b",
  "#2e9e6b",
  "#b14fb5",
  "#c4433f",
  "#5f7d8c",
  "#8a6d1f",
  "#4a4fd0",
];
