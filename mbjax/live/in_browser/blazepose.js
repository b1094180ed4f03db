// BlazePose in a browser: what mbjax/detect/blazepose does, on an ImageData. Its files have the reasons.
//
// A net is a function of an array (float32, rows of pixels, RGB) to its outputs by name.

const SURE = 0.5, MARGIN = 1.25;
const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const between = (x, low, high) => Math.min(Math.max(x, low), high);

// A turned square of a picture: its centre, its side in pixels, how far it is turned (radians, clockwise).
export class Region {
  constructor(x, y, side, angle) { Object.assign(this, { x, y, side, angle }); }

  static roundPerson(hips, rim) {
    const dx = rim[0] - hips[0], dy = rim[1] - hips[1];
    const angle = Math.PI / 2 - Math.atan2(-dy, dx);
    const turns = Math.floor((angle + Math.PI) / (2 * Math.PI));
    return new Region(hips[0], hips[1], 2 * MARGIN * Math.hypot(dx, dy), angle - 2 * Math.PI * turns);
  }

  static whole(picture) {
    return new Region(picture.width / 2, picture.height / 2, Math.max(picture.width, picture.height), 0);
  }

  // A point of the square, whose corners are (0, 0) and (1, 1), in the picture.
  toPicture([across, down]) {
    const cos = Math.cos(this.angle), sin = Math.sin(this.angle);
    const x = (across - 0.5) * this.side, y = (down - 0.5) * this.side;
    return [cos * x - sin * y + this.x, sin * x + cos * y + this.y];
  }

  // The square as size x size pixels, bilinear, each value times `scale` plus `offset`. Outside the picture
  // is its nearest pixel, or black.
  cut(picture, size, scale, offset, blackOutside = false) {
    const { data, width, height } = picture, cut = new Float32Array(size * size * 3);
    const [x0, y0] = this.toPicture([0, 0]), step = this.side / size;
    const cos = step * Math.cos(this.angle), sin = step * Math.sin(this.angle);
    for (let row = 0, k = 0; row < size; row++) for (let column = 0; column < size; column++, k += 3) {
      const x = x0 + cos * column - sin * row, y = y0 + sin * column + cos * row;
      if (blackOutside && !(x >= -0.5 && y >= -0.5 && x < width - 0.5 && y < height - 0.5)) {
        cut[k] = cut[k + 1] = cut[k + 2] = offset;
        continue;
      }
      const left = Math.floor(x), top = Math.floor(y), a = x - left, b = y - top;
      const l = between(left, 0, width - 1), r = between(left + 1, 0, width - 1);
      const t = between(top, 0, height - 1) * width, d = between(top + 1, 0, height - 1) * width;
      const tl = 4 * (t + l), tr = 4 * (t + r), dl = 4 * (d + l), dr = 4 * (d + r);
      for (let c = 0; c < 3; c++) {
        const upper = data[tl + c] * (1 - a) + data[tr + c] * a;
        const lower = data[dl + c] * (1 - a) + data[dr + c] * a;
        cut[k + c] = (upper * (1 - b) + lower * b) * scale + offset;
      }
    }
    return cut;
  }
}

// --- the first net: where persons are ----------------------------------------------------------------------

const DETECTOR_SIZE = 224, GRIDS = [[28, 2], [14, 2], [7, 6]], OVERLAP = 0.3;
const anchors = GRIDS.flatMap(([cells, each]) => Array.from({ length: cells * cells * each }, (_, i) => {
  const cell = Math.floor(i / each);
  return [(cell % cells + 0.5) / cells, (Math.floor(cell / cells) + 0.5) / cells];
}));

// The squares round the persons in a picture, the surest first.
export async function findPersons(net, picture) {
  const square = Region.whole(picture);
  const out = await net(square.cut(picture, DETECTOR_SIZE, 1 / 127.5, -1, true));
  const found = [];
  anchors.forEach(([x, y], n) => {
    const score = sigmoid(between(out.Identity_1[n], -100, 100));
    if (score < SURE) return;
    const raw = Array.from(out.Identity.subarray(12 * n, 12 * n + 12), (value) => value / DETECTOR_SIZE);
    const middle = [raw[0] + x, raw[1] + y], half = [raw[2] / 2, raw[3] / 2];
    found.push({ score, values: [
      middle[0] - half[0], middle[1] - half[1], middle[0] + half[0], middle[1] + half[1],
      raw[4] + x, raw[5] + y, raw[6] + x, raw[7] + y,
    ] });
  });
  return merged(found).map((v) => Region.roundPerson(square.toPicture([v[4], v[5]]), square.toPicture([v[6], v[7]])));
}

// The mean of each group that overlaps its surest, weighted by how sure each is.
function merged(found) {
  let left = found.toSorted((a, b) => b.score - a.score);
  const means = [];
  while (left.length) {
    const first = left[0], near = (one) => one === first || overlap(first.values, one.values) > OVERLAP;
    const group = left.filter(near), total = group.reduce((sum, one) => sum + one.score, 0);
    means.push(first.values.map((_, i) => group.reduce((sum, one) => sum + one.score / total * one.values[i], 0)));
    left = left.filter((one) => !near(one));
  }
  return means;
}

function overlap(a, b) {
  const area = (x0, y0, x1, y1) => Math.max(x1 - x0, 0) * Math.max(y1 - y0, 0);
  const shared = area(Math.max(a[0], b[0]), Math.max(a[1], b[1]), Math.min(a[2], b[2]), Math.min(a[3], b[3]));
  return shared / Math.max(area(...a.slice(0, 4)) + area(...b.slice(0, 4)) - shared, 1e-12);
}

// --- the second net: 33 landmarks of one person ------------------------------------------------------------

const LANDMARK_SIZE = 256, LANDMARKS = 33, HIPS = 33, RIM = 34, MAPS = 39, CELLS = 64, REACH = 3;

// {score, keypoints: 33 of [x, y, visibility], nextRegion}
export async function findLandmarks(net, picture, region) {
  const out = await net(region.cut(picture, LANDMARK_SIZE, 1 / 255, 0));
  const at = [];
  for (let n = 0; n <= RIM; n++) {
    const share = [out.Identity[5 * n] / LANDMARK_SIZE, out.Identity[5 * n + 1] / LANDMARK_SIZE];
    at.push(region.toPicture(refined(share, out.Identity_3, n)));
  }
  const keypoints = at.slice(0, LANDMARKS).map(([x, y], n) => [x, y, sigmoid(out.Identity[5 * n + 3])]);
  return { score: out.Identity_1[0], keypoints, nextRegion: Region.roundPerson(at[HIPS], at[RIM]) };
}

// A landmark moved to the middle of the heat round it, where that has a peak.
function refined(at, heat, n) {
  const column = Math.trunc(at[0] * CELLS), row = Math.trunc(at[1] * CELLS);
  if (!(column >= 0 && column < CELLS && row >= 0 && row < CELLS)) return at;
  let highest = 0, total = 0, across = 0, down = 0;
  for (let y = Math.max(row - REACH, 0); y < Math.min(row + REACH + 1, CELLS); y++)
    for (let x = Math.max(column - REACH, 0); x < Math.min(column + REACH + 1, CELLS); x++) {
      const value = sigmoid(heat[(y * CELLS + x) * MAPS + n]);
      highest = Math.max(highest, value);
      total += value;
      across += value * x;
      down += value * y;
    }
  return highest >= SURE ? [across / CELLS / total, down / CELLS / total] : at;
}

// --- followed from picture to picture ----------------------------------------------------------------------

const LOOK_EVERY = 2, MOST = 6, NEAR = 0.25, LIKE = 2;
const sound = (region) => Number.isFinite(region.x + region.y + region.side) && region.side > 1;

function same(a, b) {
  const larger = Math.max(a.side, b.side), smaller = Math.min(a.side, b.side);
  return Math.hypot(a.x - b.x, a.y - b.y) < NEAR * larger && larger < LIKE * smaller;
}

export class BlazePose {
  constructor(detector, landmarks) { Object.assign(this, { detector, landmarks, followed: [], pictures: 0 }); }

  // The keypoints of each person in the next picture.
  async find(picture) {
    if (!this.followed.length || this.pictures % LOOK_EVERY === 0)
      for (const region of await findPersons(this.detector, picture)) {
        const known = this.followed.some((one) => same(region, one));
        if (!known && sound(region) && this.followed.length < MOST) this.followed.push(region);
      }
    this.pictures++;
    const seen = [], regions = [];
    for (const region of this.followed) {
      const { score, keypoints, nextRegion } = await findLandmarks(this.landmarks, picture, region);
      if (score < SURE || !sound(nextRegion) || regions.some((other) => same(nextRegion, other))) continue;
      regions.push(nextRegion);
      seen.push(keypoints);
    }
    this.followed = regions;
    return seen;
  }
}
