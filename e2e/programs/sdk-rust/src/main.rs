use pyroscope::backend::{pprof_backend, BackendConfig, PprofConfig};
use pyroscope::pyroscope::PyroscopeAgentBuilder;
use std::time::{Duration, Instant};

#[inline(never)]
fn burn_cpu_in_rust(until: Instant) -> f64 {
    let mut x = 0.0f64;
    while Instant::now() < until { for i in 0..1000 { x += std::hint::black_box(i as f64).sqrt(); } }
    x
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("URL")?;
    let agent = PyroscopeAgentBuilder::new(url, "sdk.rust", 100, "pyroscope-rs", "0.1.0", pprof_backend(PprofConfig::default(), BackendConfig::default()))
        .tags(vec![("lang", "rust")])
        .build()?;
    let running = agent.start()?;
    println!("{}", burn_cpu_in_rust(Instant::now() + Duration::from_secs(14)));
    running.stop()?.shutdown();
    Ok(())
}
