//! Every message of `proto/`.

use antiphon_wire::proto::{
    ClientNotice, Manifest, Message, PeerNotice, Refused, Rendition, Reply, Request, ServerNotice,
    SignedManifest, SignedTicket, Ticket,
};

use crate::script::Script;

/// What a message decodes to has one encoding, which decodes to the same; what
/// is made of it is checked by its own promises.
///
/// Input: which message u8, then its bytes. The types that stand alone or are
/// signed; all others are parts of them.
pub fn protobuf(data: &[u8]) {
    let mut script = Script::new(data);
    let kind = script.byte();
    let bytes = script.rest();
    match kind % 10 {
        0 => drop(round_trip::<ClientNotice>(bytes)),
        1 => drop(round_trip::<ServerNotice>(bytes)),
        2 => drop(round_trip::<PeerNotice>(bytes)),
        3 => drop(round_trip::<Request>(bytes)),
        4 => drop(round_trip::<Reply>(bytes)),
        5 => drop(round_trip::<SignedManifest>(bytes)),
        6 => drop(round_trip::<SignedTicket>(bytes)),
        7 => drop(round_trip::<Ticket>(bytes)),
        8 => check_manifest(bytes),
        _ => check_refusal(bytes),
    }
}

fn round_trip<M: Message + Default>(bytes: &[u8]) -> Option<M> {
    let message = M::decode(bytes).ok()?;
    let encoded = message.encode_to_vec();
    assert_eq!(message.encoded_len(), encoded.len());
    let again = M::decode(encoded.as_slice()).expect("an encoding of ours decodes");
    // Encodings are compared, not messages: a number that is none equals none.
    assert_eq!(again.encode_to_vec(), encoded, "it changes when it is passed on");
    Some(message)
}

/// A rendition that is accepted survives its way back, and answers all
/// questions about places within and beyond it.
fn check_manifest(bytes: &[u8]) {
    let Some(manifest) = round_trip::<Manifest>(bytes) else { return };
    for sent in &manifest.renditions {
        let Ok(rendition) = antiphon_types::Rendition::try_from(sent) else { continue };
        assert_eq!(Rendition::from(&rendition), *sent, "it is not what came");
        for place in [0, rendition.samples(), sent.bytes, u64::MAX] {
            for sample in [place.saturating_sub(1), place, place.saturating_add(1)] {
                check_places(&rendition, sample);
            }
        }
    }
}

fn check_places(rendition: &antiphon_types::Rendition, place: u64) {
    let segment = rendition.segment_for(place);
    assert!(rendition.segments().contains(&segment), "a segment that it does not have");
    assert!(rendition.offset_at(place) <= rendition.size().bytes());
    assert!(rendition.sample_at(place) <= rendition.samples());
}

/// The text of a refusal is harmless and short.
fn check_refusal(bytes: &[u8]) {
    let Some(refused) = round_trip::<Refused>(bytes) else { return };
    let text = refused.to_string();
    assert!(!text.is_empty() && !text.contains(char::is_control), "{text:?}");
    assert!(text.chars().count() <= 200);
}
