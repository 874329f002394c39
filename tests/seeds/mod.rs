//! Seeds of simulations: which ones are run, and how one that fails is run again.
//!
//! `SEEDS=2000` more of them, `SEED=7` this one only, `STEPS=10000` longer ones.

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    use vanne::config::Environment;
    vanne::config::ProcessEnvironment.variable(name)?.parse().ok()
}

/// Has `run` simulate each seed for so many steps; fails with the seed that does not hold.
pub(crate) fn hold(test: &str, seeds: u64, steps: u32, run: fn(u64, u32)) {
    let steps = setting("STEPS").map_or(steps, |steps| u32::try_from(steps).unwrap());
    let seeds = match setting("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..setting("SEEDS").unwrap_or(seeds),
    };
    for seed in seeds {
        let done = std::panic::catch_unwind(|| run(seed, steps));
        assert!(done.is_ok(), "seed {seed} fails: SEED={seed} cargo test --test {test}");
    }
}
