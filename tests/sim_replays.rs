//! Named outages of the last years, played again with the machines of this router in a simulated world.
//!
//! Each is a claim about what would have happened here, in a small world of minutes that a debug build plays in a second.
//! What did not fail by what a router decides cannot be replayed; it is held by other means:
//!
//! | Outage | Why it is not here | What holds it |
//! | --- | --- | --- |
//! | Cloudflare 2019-07, a rule that backtracked | no request is matched by patterns | limits and bounds of `front_requests`, `front_http2_attacks` |
//! | Cloudflare 2023-10 and Slack 2021-09, DENIC 2026-05: signatures and keys | the simulator has resolvers, not validators | `dnssec_year`, `dnssec_validators`, `dnssec_keys` |
//! | Cloudflare 2025-07, dormant link; 2020-07, leaked routes | routes are announced by whoever runs the network, not by nodes | `site_attracts_all` plays what they come to |
//! | Cloudflare 2026-01, order of an answer | answers are bytes | `dns_clients`, `dns_differential` |
//! | Google 2021-11, a race that corrupts a file | one writer, and a file is proven before it is in force | `reload`, `bad_file_again_and_again` |
//! | AWS 2020-11, threads per peer | nodes keep no mesh of threads | `front_connections`; sites ask each other once an interval |
//! | Azure 2025-10, data that crashes later | a crash of code has no model: machines are total, panics end one connection | `crash_loop` plays the node that comes and goes; `history_kill` the disk under it |
//! | Fastly 2021-06, one tenant's configuration | one configuration for everybody, proven whole | `check`, `reload` |
//! | Akamai 2021-07, Dyn 2016: an authority that is flooded or gone | packets are not simulated | `dns_malformed`, `dns_streams`; a second provider by zone transfer or records |
//! | Fly.io 2024, a lock; Corrosion; Roblox 2021 | there is no lock in a decision and no shared store on the way of a request | `fail_static` plays the store that is gone |
//! | OpenAI 2024-12, operators locked out | people are not simulated | the admin address is its own listener: `admin`, `operators` |
//! | NATS 2025-12, lost writes | no broker | `history_disks`, `history_kill` |

mod common;

mod replays {
    use super::common;

    mod bad_file_again_and_again;
    mod byzantine_switch;
    mod cache_masked_rollout;
    mod clocks;
    mod crash_loop;
    mod empty_selector;
    mod fail_static;
    mod forty_three_seconds;
    mod gray_failure;
    mod half_configured_targets;
    mod kill_switch;
    mod lying_probes;
    mod non_completion_herd;
    mod nothing_is_wrong;
    mod restart_herd;
    mod retry_storm;
    mod site_attracts_all;
    mod sites_judge_each_other;
    mod stale_enactor;
    mod story;
    mod the_gulf;
    mod unattended_patch;
    mod whole_provider;
}
