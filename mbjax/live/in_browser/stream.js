// One person's poses while the pictures come in: what mbjax/lifting/stream.py and mbjax/live/follower.py do,
// without look-ahead.
//
// keypoints: K of [x, y, confidence] in pixels. settings: what settings.json holds.
import { Build } from "./build.js";
import { interpolated, withoutOutliers } from "./outliers.js";

const HEAD_PAST_EARS = 0.75, HEAD_PAST_EYES = 0.54, MIN_VISIBLE = 4, HEIGHT_OF_LIMBS = 2.25, ROOT = 0;
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const unknown = (point) => Number.isNaN(point[0]) || Number.isNaN(point[1]);

// The 17 joints of K keypoints; settings.toJoints: of each joint its keypoints and their shares.
export function toJoints(keypoints, settings) {
  return settings.toJoints.map((parts) => [0, 1, 2].map(
    (axis) => parts.reduce((sum, [k, share]) => sum + share * keypoints[k][axis], 0)));
}

// The joints in the newest frames of a person, interpolated where they are not seen; NaN where no frame has one.
export function joined(frames, settings) {
  const clean = withoutOutliers(frames, settings.keypoints);
  const filled = clean.map((frame) => frame.map((point) => [...point]));
  for (let k = 0; k < settings.keypoints.length; k++) {
    const known = clean.map((frame) => frame[k][2] > 0);
    for (const axis of [0, 1])
      interpolated(clean.map((frame) => frame[k][axis]), known).forEach((value, t) => { filled[t][k][axis] = value; });
    if (!known.includes(true)) for (const frame of filled) frame[k][0] = frame[k][1] = NaN;
  }
  const joints = withHead(filled.map((frame) => toJoints(frame, settings)), filled, settings);
  for (const frame of joints) frame.forEach((joint, j) => { if (unknown(joint)) frame[j] = [NaN, NaN, 0]; });
  return joints;
}

// What the network is shown of them: {x: Float32Array of window x 17 x 3, side}; null where too little is seen.
// side: of the square round the person, in pixels.
export function networkInput(joints, settings) {
  const seen = joints.flat().filter((joint) => joint[2] !== 0);
  if (seen.length < MIN_VISIBLE) return null;
  const low = [0, 1].map((axis) => Math.min(...seen.map((joint) => joint[axis])));
  const high = [0, 1].map((axis) => Math.max(...seen.map((joint) => joint[axis])));
  const side = Math.max(high[0] - low[0], high[1] - low[1]);
  if (!(side > 0)) return null;
  const x = new Float32Array(settings.window * joints[0].length * 3), scale = 2 * settings.fill / side;
  for (let t = 0, i = 0; t < settings.window; t++)
    for (const joint of joints[thereAndBack(t, joints.length)]) {
      if (!unknown(joint)) {
        x[i] = (joint[0] - (low[0] + high[0]) / 2) * scale;
        x[i + 1] = (joint[1] - (low[1] + high[1]) / 2) * scale;
        x[i + 2] = joint[2];
      }
      i += 3;
    }
  return { x, side };
}

// The frame that is shown at place t where `length` are played there and back.
function thereAndBack(t, length) {
  const period = Math.max(1, 2 * (length - 1)), place = t % period;
  return length > 1 ? Math.min(place, period - place) : 0;
}

// The head at the top of the head, by the ears or the eyes: mbjax.keypoints.layouts.with_head.
function withHead(joints, frames, settings) {
  const names = settings.keypoints;
  const middle = (...pair) => {
    const known = pair.map((name) => names.indexOf(name)).filter((k) => !unknown(frames[0][k]));
    return known.length && ((t) => [0, 1, 2].map((axis) => mean(known.map((k) => frames[t][k][axis]))));
  };
  const shoulders = middle("lshoulder", "rshoulder"), ears = middle("lear", "rear"), from = ears || middle("leye", "reye");
  const past = ears ? HEAD_PAST_EARS : HEAD_PAST_EYES;
  if (!shoulders || !from) return joints;
  return joints.map((frame, t) => {
    const [a, b] = [shoulders(t), from(t)];
    return frame.with(settings.head, [b[0] + past * (b[0] - a[0]), b[1] + past * (b[1] - a[1]), b[2]]);
  });
}

// The One-Euro filter of mbjax.motion.filters on 17 points: Hz at rest, and Hz more for each unit a second.
export class OneEuro {
  constructor(restHz, hzPerSpeed, speedHz = 1) { Object.assign(this, { restHz, hzPerSpeed, speedHz, value: null }); }

  // fps: of the frames now.
  push(points, fps) {
    const share = (hz) => 1 / (1 + fps / (2 * Math.PI * hz));
    if (!this.value) {
      this.value = points;
      this.speed = points.map(() => [0, 0, 0]);
      return points;
    }
    this.value = points.map((point, j) => {
      const before = this.value[j], speed = this.speed[j];
      this.speed[j] = speed.map((old, axis) => old + share(this.speedHz) * ((point[axis] - before[axis]) * fps - old));
      const now = share(this.restHz + this.hzPerSpeed * Math.hypot(...this.speed[j]));
      return before.map((old, axis) => old + now * (point[axis] - old));
    });
    return this.value;
  }
}

// Follows the largest person who comes into view, for as long as they stay there.
export class Follower {
  // lift: of the network's input, window x 17 x 3, to its poses, as many.
  constructor(lift, settings) { Object.assign(this, { lift, settings, last: null }); }

  // {person, pose} of the persons found in the next picture: keypoints of whom is followed or null, and 17 of
  // [x, y, z] in heights of that person from the root, or []. fps: of the pictures now.
  async push(everybody, fps) {
    const person = this.chosen(everybody);
    if (!person || !this.last)
      Object.assign(this, { frames: [], count: 0, size: 0, filter: new OneEuro(...this.settings.steady),
        build: new Build(this.settings.build) });
    this.last = person;
    if (!person) return { person, pose: [] };
    this.frames = [...this.frames, person].slice(-this.settings.window);
    const frame = this.count++, joints = joined(this.frames, this.settings), by = this.build.factor(frame);
    const pose = await this.lifted(joints, by);
    if (!pose) return { person, pose: [] };
    if (this.frames.length === this.settings.window && this.build.wants(frame))
      await this.build.measure(frame, () => by === 1 ? pose : this.lifted(joints, 1), joints.at(-1));
    const heights = pose.map((point) => point.map((value) => value / this.size));
    return { person, pose: inHeights(this.filter.push(heights, fps), this.settings.limbs) };
  }

  // The newest frame's pose in pixels from the root, or null. by: of trunk and head.
  async lifted(joints, by) {
    const input = networkInput(joints.map((frame) => this.build.scaled(frame, 1 / by, [0, 1])), this.settings);
    if (!input) return null;
    this.size ||= input.side;
    const poses = await this.lift(input.x), count = this.settings.toJoints.length, first = 3 * count * (joints.length - 1);
    const root = poses.subarray(first + 3 * ROOT, first + 3 * ROOT + 3), pixels = input.side / 2 / this.settings.fill;
    const pose = Array.from({ length: count }, (_, j) => [0, 1, 2].map(
      (axis) => (poses[first + 3 * j + axis] - root[axis]) * pixels));
    return this.build.scaled(pose, by, [0, 1, 2]);
  }

  chosen(everybody) {
    if (!everybody.length) return null;
    const boxes = everybody.map(box), least = (key) => everybody[boxes.map(key).reduce((m, v, i, all) => v < all[m] ? i : m, 0)];
    if (!this.last) return least((one) => -one.size);
    const { centre, size } = box(this.last), away = (one) => Math.hypot(one.centre[0] - centre[0], one.centre[1] - centre[1]);
    const near = least(away);
    return away(box(near)) < size ? near : null;
  }
}

function inHeights(pose, limbs) {
  const length = limbs.reduce((sum, [a, b]) => sum + Math.hypot(...[0, 1, 2].map((axis) => pose[a][axis] - pose[b][axis])), 0);
  const size = Math.max(length / HEIGHT_OF_LIMBS, 1e-6);
  return pose.map((point) => point.map((value, axis) => (value - pose[ROOT][axis]) / size));
}

// Centre and longer side of the box round what is seen.
function box(keypoints) {
  const points = keypoints.filter((point) => point[2] > 0);
  if (!points.length) return { centre: [0, 0], size: 0 };
  const [low, high] = [Math.min, Math.max].map((most) => [0, 1].map((axis) => most(...points.map((point) => point[axis]))));
  return { centre: [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2], size: Math.max(high[0] - low[0], high[1] - low[1]) };
}
