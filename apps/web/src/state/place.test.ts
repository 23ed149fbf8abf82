import fc from "fast-check";
import { insideWindow } from "./place.ts";

describe("U17: the place of a tooltip or menu", () => {
  it("is inside the window with eight pixels to spare, for every point and size that fits", () => {
    fc.assert(
      fc.property(
        fc.record({
          width: fc.integer({ min: 390, max: 1920 }),
          height: fc.integer({ min: 500, max: 1080 }),
        }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.record({ width: fc.integer({ min: 40, max: 372 }), height: fc.integer({ min: 20, max: 480 }) }),
        (view, x, y, panel) => {
          const point = { x: x * view.width, y: y * view.height },
            { left, top } = insideWindow(point, panel, view);
          expect(left >= 8 && left + panel.width <= view.width - 8).toBe(true);
          expect(top >= 8 && top + panel.height <= view.height - 8).toBe(true);
        },
      ),
    );
  });

  it("is after the point where there is room, else before it", () => {
    const view = { width: 1280, height: 800 },
      panel = { width: 300, height: 100 };
    expect(insideWindow({ x: 100, y: 100 }, panel, view)).toEqual({ left: 114, top: 114 });
    expect(insideWindow({ x: 1200, y: 780 }, panel, view)).toEqual({ left: 886, top: 666 });
  });
});
