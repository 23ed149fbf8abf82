/** Size of a function in a call graph, in pixels, shared by layout and drawing. */
export const NODE_WIDTH = 250,
  NODE_HEIGHT = 44;
