// The build of the person: what mbjax/lifting/stream_build.py and mbjax/pose/proportions.py do.
//
// points, pose: 17 of [x, y, ...] in one unit. constants: `build` of settings.json; bones are pairs of joints.
const quantile = (values, q) => {
  const sorted = [...values].sort((a, b) => a - b), place = q * (sorted.length - 1), low = Math.floor(place);
  return sorted[low] + (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]) * (place - low);
};
const way = (points, bones) => bones.reduce(
  (sum, [a, b]) => sum + Math.hypot(...points[a].map((value, axis) => value - points[b][axis])), 0);

export class Build {
  constructor(constants) {
    Object.assign(this, { ...constants, poses: [], points: [], measuredAt: -constants.every, toldAt: -constants.every });
    this.target = this.now = 1;
  }

  // Whether this frame, counted from 0, is to be measured.
  wants(frame) {
    return this.learnt > 0 && this.poses.length < this.looks.at(-1) && frame - this.measuredAt >= this.every;
  }

  // pose: gives the pose as lifted without regard to the build. points: [x, y, confidence] that it is lifted from.
  async measure(frame, pose, points) {
    this.measuredAt = frame;
    if (!this.needed.every((j) => points[j][2] >= this.seen)) return; // somebody at a desk may stand up later
    this.poses.push(await pose());
    this.points.push(points);
    if (this.looks.includes(this.poses.length)) this.target = this.found();
  }

  // How many times as long as the learnt ones trunk and head count at this frame.
  factor(frame) {
    const most = this.eased ** (frame - this.toldAt);
    this.toldAt = frame;
    this.now *= Math.min(Math.max(this.target / this.now, 1 / most), most);
    return this.now;
  }

  found() {
    const pictures = this.points.map((points) => points.map((point) => point.slice(0, 2)));
    const middle = (bones) => quantile(this.poses.map((pose) => way(pose, bones)), 0.5);
    const longest = (measure) => quantile(pictures.map(measure), this.longest);
    const lifted = 2 * middle(this.trunkBones) / Math.max(middle(this.legBones.flat()), 1e-9) / this.learnt;
    const longerLeg = longest((points) => Math.max(...this.legBones.map((bones) => way(points, bones))));
    const looks = longest((points) => way(points, this.trunkBones)) / Math.max(longerLeg, 1e-9) / this.learnt;
    const off = (value) => 1 + this.tolerated < value && value < this.wild;
    const same = [lifted, looks].every(off) || [1 / lifted, 1 / looks].every(off);
    return same ? Math.sqrt(lifted * looks) : 1;
  }

  // Trunk, neck and head `by` times as long, arms carried along; 1 / by undoes it. Joints that are not known are
  // NaN and stay; without the root nothing is scaled, without the neck the arms stay.
  // axes: those that are lengths; a point's confidence is none.
  scaled(points, by, axes) {
    const known = (j) => !points[j].some(Number.isNaN);
    if (by === 1 || !known(this.root)) return points;
    const root = points[this.root];
    const moved = points.map((point) => [...point]);
    for (const j of this.trunk) for (const axis of axes) moved[j][axis] = root[axis] + by * (points[j][axis] - root[axis]);
    if (known(this.neck))
      for (const j of this.arms) for (const axis of axes) moved[j][axis] += moved[this.neck][axis] - points[this.neck][axis];
    return moved;
  }
}
