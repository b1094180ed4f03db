// Keypoints where no joint of the person can be: what mbjax/keypoints/outliers.py finds. That file has the
// reasons and where the numbers come from.
//
// frames: T of K keypoints [x, y, confidence]; confidence 0 is 'not seen'.

const TRUNK = ["hip", "shoulder", "root", "belly", "neck"];
const ENDS = ["wrist", "ankle", "toe", "heel", "foot", "pinky", "index", "thumb"];
const FAR = { trunk: 1.8, middle: 2.4, end: 4.0 }, JUMP = { trunk: 1.2, middle: 2.0, end: 2.8 };
const FAR_UNSURE = 0.6, JUMP_UNSURE = 0.5, SHARE = 0.85, AROUND_SIZE = 15, AROUND_PLACE = 3, ENOUGH = 4;

// Count together as so many keypoints, in middle and size.
const PARTS = [["nose", "eye", "ear", "mouth"], ["pinky", "index", "thumb"]], OF_A_PART = 2;

const kind = (name) => TRUNK.some((part) => name.includes(part)) ? "trunk"
  : ENDS.some((part) => name.includes(part)) ? "end" : "middle";

// The frames with confidence 0 at such keypoints. names: of the K.
export function withoutOutliers(frames, names) {
  const enough = frames.map((frame) => frame.filter((point) => point[2] > 0).length >= ENOUGH);
  if (!enough.includes(true)) return frames;
  const seen = frames.map((frame) => frame.map((point) => point[2] > 0));
  const count = (part) => names.filter((name) => part.some((one) => name.includes(one))).length;
  const shares = names.map((name) => PARTS.filter((part) => part.some((one) => name.includes(one)))
    .reduce((share, part) => Math.min(share, OF_A_PART / count(part)), 1));
  const weights = frames.map((frame) => frame.map((point, k) => point[2] * shares[k]));
  const trusted = median(frames.flat().map((point) => point[2]).filter((confidence) => confidence > 0));
  const middle = [0, 1].map((axis) => {
    const values = frames.map((frame, t) => weightedQuantile(frame.map((point) => point[axis]), weights[t], 0.5));
    return interpolated(values, enough);
  });
  const relative = frames.map((frame, t) => frame.map((point) => [point[0] - middle[0][t], point[1] - middle[1][t]]));
  const away = relative.map((frame) => frame.map(([x, y]) => Math.hypot(x, y)));
  const sizes = away.map((distances, t) => enough[t] ? weightedQuantile(distances, weights[t], SHARE) : NaN);
  const around = (t, reach) => [Math.max(t - reach, 0), Math.min(t + reach + 1, frames.length)];
  return frames.map((frame, t) => {
    const size = Math.max(median(sizes.slice(...around(t, AROUND_SIZE)).filter((one) => !Number.isNaN(one))), 1e-9);
    const [first, end] = around(t, AROUND_PLACE);
    return frame.map((point, k) => {
      if (!seen[t][k]) return point;
      const near = [], before = [], after = [];
      for (let s = first; s < end; s++) if (seen[s][k]) {
        near.push(relative[s][k]);
        if (s !== t) (s < t ? before : after).push(s);
      }
      const usual = [0, 1].map((axis) => median(near.map((one) => one[axis])));
      const left = Math.hypot(relative[t][k][0] - usual[0], relative[t][k][1] - usual[1]);
      const trust = Math.min(point[2] / trusted, 1), limit = (sure, unsure) => sure[kind(names[k])] * (unsure + (1 - unsure) * trust);
      const far = away[t][k] / size > limit(FAR, FAR_UNSURE);
      const jump = left / size > limit(JUMP, JUMP_UNSURE) && before.length && after.length;
      return far || jump ? [point[0], point[1], 0] : point;
    });
  });
}

function median(values) {
  const sorted = values.toSorted((a, b) => a - b), n = sorted.length;
  return n ? (sorted[(n - 1) >> 1] + sorted[n >> 1]) / 2 : NaN;
}

// The value below which that share of the weights lies.
function weightedQuantile(values, weights, share) {
  const order = values.map((_, k) => k).filter((k) => weights[k] > 0).sort((a, b) => values[a] - values[b]);
  const total = order.reduce((sum, k) => sum + weights[k], 0);
  let reached = 0;
  for (const k of order) {
    reached += weights[k];
    if (reached >= share * total) return values[k];
  }
  return order.length ? values[order.at(-1)] : NaN;
}

// Values that are not known: between those that are, in time; held at the ends.
export function interpolated(values, known) {
  const at = values.map((_, t) => t).filter((t) => known[t]);
  return values.map((value, t) => {
    if (known[t]) return value;
    const next = at.find((s) => s > t), last = at.findLast((s) => s < t);
    if (next === undefined || last === undefined) return values[next ?? last] ?? NaN;
    return values[last] + (values[next] - values[last]) * (t - last) / (next - last);
  });
}
