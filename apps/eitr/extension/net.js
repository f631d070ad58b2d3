// The network and its training, in float64 from float32 weights: src/eitr/model.py in the browser.
// A model is {w1: {shape, data}, b1, w2, b2, w3, b3}; an example is {columns, values}.

export const HEAD = ["w2", "b2", "w3", "b3"];
export const WHOLE = ["w1", "b1", ...HEAD];

export function logProbabilities(model, example) {
  const scores = dense(model.w3, model.b3, rectified(dense(model.w2, model.b2, hidden(model, example))));
  const most = Math.max(...scores);
  const total = Math.log(scores.reduce((sum, score) => sum + Math.exp(score - most), 0));
  return Array.from(scores, (score) => score - most - total);
}

// The update of `layers`, trained minus model, float32: SGD, an example at a time, in order.
export function train(model, examples, labels, { layers = HEAD, rate = 0.05, epochs = 2 } = {}) {
  const whole = layers.includes("w1");
  const trained = {};
  for (const name of WHOLE) {
    // What does not change needs no copy.
    const data = whole || HEAD.includes(name) ? Float64Array.from(model[name].data) : model[name].data;
    trained[name] = { shape: model[name].shape, data };
  }
  const first = whole ? null : examples.map((example) => hidden(trained, example));
  for (let epoch = 0; epoch < epochs; epoch++) {
    examples.forEach((example, i) => {
      const activation = whole ? hidden(trained, example) : first[i];
      const back = step(trained, activation, labels[i], rate);
      if (whole) firstStep(trained, example, activation, back, rate);
    });
  }
  const update = {};
  for (const name of layers) {
    const before = model[name].data;
    update[name] = { shape: model[name].shape, data: Float32Array.from(trained[name].data, (value, i) => value - before[i]) };
  }
  return update;
}

function hidden(model, { columns, values }) {
  const width = model.b1.data.length;
  const sums = Float64Array.from(model.b1.data);
  columns.forEach((column, k) => {
    for (let j = 0; j < width; j++) sums[j] += values[k] * model.w1.data[column * width + j];
  });
  return rectified(sums);
}

function rectified(values) {
  return values.map((value) => (value > 0 ? value : 0));
}

function dense(weights, bias, input) {
  const width = bias.data.length;
  const sums = Float64Array.from(bias.data);
  input.forEach((value, i) => {
    if (value !== 0) for (let j = 0; j < width; j++) sums[j] += value * weights.data[i * width + j];
  });
  return sums;
}

// The gradient with respect to a dense layer's input.
function backward(weights, error, length) {
  const width = error.length;
  const back = new Float64Array(length);
  for (let i = 0; i < length; i++) for (let j = 0; j < width; j++) back[i] += weights.data[i * width + j] * error[j];
  return back;
}

function descend(weights, bias, input, error, rate) {
  const width = error.length;
  input.forEach((value, i) => {
    if (value !== 0) for (let j = 0; j < width; j++) weights.data[i * width + j] -= rate * value * error[j];
  });
  for (let j = 0; j < width; j++) bias.data[j] -= rate * error[j];
}

// One step of the head; the gradient at the first layer's output.
function step(trained, first, label, rate) {
  const second = rectified(dense(trained.w2, trained.b2, first));
  const scores = dense(trained.w3, trained.b3, second);
  const most = Math.max(...scores);
  const error = scores.map((score) => Math.exp(score - most));
  const total = error.reduce((sum, value) => sum + value, 0);
  for (let j = 0; j < error.length; j++) error[j] = error[j] / total - (j === label ? 1 : 0);
  const back = backward(trained.w3, error, second.length).map((value, i) => (second[i] > 0 ? value : 0));
  const further = backward(trained.w2, back, first.length);
  descend(trained.w3, trained.b3, second, error, rate);
  descend(trained.w2, trained.b2, first, back, rate);
  return further;
}

function firstStep(trained, { columns, values }, activation, further, rate) {
  const width = activation.length;
  const back = further.map((value, j) => (activation[j] > 0 ? value : 0));
  columns.forEach((column, k) => {
    for (let j = 0; j < width; j++) trained.w1.data[column * width + j] -= rate * values[k] * back[j];
  });
  for (let j = 0; j < width; j++) trained.b1.data[j] -= rate * back[j];
}
