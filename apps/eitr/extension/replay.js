// Old examples to train on beside one's own, so that a new topic does not push the old ones out: src/eitr/replay.py in the browser.

// One's own examples and `count` of the server's, of each class as many as of another, in random order.
export function mixed(own, old, count, random = Math.random) {
  const byClass = [];
  for (const example of old) (byClass[example.label] ??= []).push(example);
  const any = (list) => list[Math.floor(random() * list.length)];
  const order = shuffled(byClass.filter(Boolean), random);
  const drawn = Array.from({ length: old.length ? count : 0 }, (_, i) => any(order[i % order.length]));
  return shuffled([...own, ...drawn], random);
}

function shuffled(list, random) {
  const copy = [...list];
  for (let i = copy.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [copy[i], copy[j]] = [copy[j], copy[i]];
  }
  return copy;
}
