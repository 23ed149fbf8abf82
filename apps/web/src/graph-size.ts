/** Size of a function in a call graph, pixels: what places it and what draws it agree. */
export const NODE_WIDTH = 250,
  NODE_HEIGHT = 44;
