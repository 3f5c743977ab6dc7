//! Bounds that hold whatever happens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use antiphon_mesh::{DropReason, Grant, Limits, Mesh, Output};
use antiphon_types::Class;
use proptest::prelude::*;

use crate::{at, outputs, peer};

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn bounds_hold_whatever_happens(
        steps in prop::collection::vec((0_u8..8, 0_u8..90, 0_u64..9_000), 0..400)
    ) {
        let mut mesh = Mesh::new(Limits::default());
        let mut now = 0;
        let mut linked = BTreeSet::new();
        let mut serving = BTreeMap::new();
        for (kind, n, number) in steps {
            let who = peer(n);
            match kind {
                0..=2 => {
                    linked.insert(who);
                    mesh.handle_peer_up(at(now), who, Duration::from_millis(number));
                }
                3 => {
                    linked.remove(&who);
                    serving.remove(&who);
                    mesh.handle_peer_down(at(now), who);
                }
                4 if number < 300 => mesh.ban(at(now), who, DropReason::UnaskedBlocks),
                4 => mesh.handle_delivered(at(now), who, 16_384),
                5 => {
                    let class = Class::ALL[usize::from(n) % 4];
                    if mesh.request_upload(at(now), who, class) == Grant::Served {
                        *serving.entry(who).or_insert(0) += 1;
                    }
                }
                6 => {
                    if let Some(left) = serving.get_mut(&who) {
                        *left -= 1;
                        mesh.handle_upload_ended(at(now), who);
                    }
                }
                _ => {
                    now += number;
                    mesh.handle_timeout(at(now));
                }
            }
            for output in outputs(&mut mesh) {
                match output {
                    Output::Drop { peer, .. } => {
                        prop_assert!(linked.remove(&peer), "dropped a stranger");
                        serving.remove(&peer);
                    }
                    Output::CutUpload { peer, .. } => {
                        serving.remove(&peer);
                    }
                    _ => {}
                }
            }
            serving.retain(|_, left| *left > 0);
            prop_assert!(mesh.neighbours().len() <= 60);
            prop_assert_eq!(mesh.neighbours().len(), linked.len());
            prop_assert!(serving.len() <= 4);
            prop_assert_eq!(mesh.served().collect::<Vec<_>>(), serving.keys().copied().collect::<Vec<_>>());
        }
    }
}
