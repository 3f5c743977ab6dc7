//! Answers as the generated types read them.

use std::sync::Arc;

use antiphon_tracker::{Holder, Nearness};
use antiphon_types::NodeId;
use antiphon_wire::message::{Envelope, MAX_MESSAGE_BYTES, MessageReader};
use antiphon_wire::proto::{Message as _, ServerNotice, SwarmAnswer, server_notice};
use bytes::Bytes;

use super::*;
use crate::contact::{TCP, UDP, V6, written};

fn entry(purpose: u8, ip: &[u8], port: u16) -> Vec<u8> {
    [&[purpose], ip, &port.to_be_bytes()].concat()
}

fn holder(number: u8, contact: Vec<u8>) -> Holder {
    let contact = Arc::from(contact);
    Holder { node: NodeId::new([number; 32]), nearness: Nearness::Any, contact }
}

fn push(answer: &mut Answer<'_>, named: &[Holder], fewest: usize) {
    let mut holders = answer.holders();
    named.iter().for_each(|holder| holders.push(holder.named()));
    holders.end(fewest);
}

/// The answers that a receiver reads.
fn read(answers: Bytes) -> Vec<SwarmAnswer> {
    let mut reader = MessageReader::default();
    reader.push(answers);
    let mut all = Vec::new();
    while let Some(Envelope::Message(notice)) = reader.next().unwrap() {
        match ServerNotice::decode(notice).unwrap().kind {
            Some(server_notice::Kind::SwarmAnswer(answer)) => all.push(answer),
            other => panic!("{other:?}"),
        }
    }
    reader.finish().unwrap();
    all
}

#[test]
fn what_is_written_is_what_the_generated_types_read() {
    let contact = [entry(TCP, &[203, 0, 113, 5], 65535), entry(UDP, &[203, 0, 113, 5], 65535)];
    let contact = contact.concat();
    let ids = [0, 1, 127, 128, u64::MAX];
    let mut answers = Answers::default();
    for id in ids {
        let mut answer = answers.begin(id, 3);
        push(&mut answer, &[], 0);
        push(&mut answer, &vec![holder(7, written(&contact)); 10], 10);
        push(&mut answer, &[holder(8, Vec::new())], 0);
        push(&mut answer, &vec![holder(9, contact.clone()); 10], 11);
        answer.end();
    }
    let read = read(answers.take());
    assert!(answers.is_empty());
    assert_eq!(read.iter().map(|answer| answer.id).collect::<Vec<_>>(), ids);
    for answer in read {
        let counts: Vec<usize> = answer.found.iter().map(|it| it.peers.len()).collect();
        assert_eq!(counts, [0, 10, 1, 0], "of too few, none");
        let peer = &answer.found[1].peers[9];
        assert_eq!(peer.peer_key, [7; 32].as_slice());
        assert_eq!(peer.addresses, ["203.0.113.5:65535"]);
        assert!(peer.udp_addresses.is_empty(), "they are the same");
        assert!(answer.found[2].peers[0].addresses.is_empty());
    }
}

/// Lengths of one, two and three bytes.
#[test]
fn answers_of_any_length_stand_one_behind_the_other() {
    let text: Vec<u8> =
        (0..8).flat_map(|port| entry(TCP | V6, &[0x11; 16], 50_000 + port)).collect();
    let named = vec![holder(7, text); 10];
    let counts = [0, 1, 2, 0, 5, 10];
    let mut answers = Answers::default();
    for count in counts {
        let mut answer = answers.begin(0, 1);
        (0..count).for_each(|_| push(&mut answer, &named[..count], 0));
        answer.end();
    }
    let read = read(answers.take());
    let found: Vec<(usize, usize)> = read
        .iter()
        .map(|it| (it.found.len(), it.found.iter().map(|holders| holders.peers.len()).sum()))
        .collect();
    assert_eq!(found, counts.map(|count| (count, count * count)));
}

#[test]
fn the_largest_answer_is_one_that_a_receiver_takes() {
    let of = |purpose, port| entry(purpose | V6, &[0x11; 16], port);
    let each =
        |purpose| (50_000..50_008).flat_map(move |port| of(purpose, port + u16::from(purpose)));
    let contact = written(&each(TCP).chain(each(UDP)).collect::<Vec<_>>());
    let mut answers = Answers::default();
    let mut answer = answers.begin(u64::MAX, 64);
    while answer.len() < MAX_ANSWER_BYTES {
        push(&mut answer, &vec![holder(1, contact.clone()); 10], 0);
    }
    (0..64).for_each(|_| push(&mut answer, &[], 0));
    answer.end();
    let answers = answers.take();
    assert!(answers.len() <= MAX_MESSAGE_BYTES, "{}", answers.len());
    assert_eq!(read(answers).len(), 1);
}
