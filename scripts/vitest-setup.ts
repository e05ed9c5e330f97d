import fc from 'fast-check';

// The same generated inputs every time, so that a run says something about the change and not about its luck.
// FC_SEED=random tries new ones: for looking for faults by hand, as often as one likes.
const wanted = process.env['FC_SEED'];
fc.configureGlobal({ seed: wanted === 'random' ? Date.now() | 0 : Number(wanted ?? 20_261_122) });
