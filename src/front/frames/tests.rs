//! What is counted, what is not, and when it is too much.

use super::*;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn at(seconds: f64) -> Moment {
    Moment::at(Duration::from_secs_f64(100.0 + seconds))
}

/// A connection on which `streams` were opened and nothing answered.
fn with_streams(streams: u32) -> Frames {
    let mut frames = Frames::default();
    frames.received(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", at(0.0));
    for stream in 0..streams {
        frames.received(&frame(1, 5, 2 * stream + 1, &[0x82]), at(0.0));
    }
    frames
}

fn update(stream: u32, more: u32) -> Vec<u8> {
    frame(8, 0, stream, &more.to_be_bytes())
}

fn answer(stream: u32, octets: usize) -> Vec<u8> {
    [frame(1, 4, stream, &[0x88]), frame(0, 0, stream, &vec![0; octets])].concat()
}

#[test]
fn one_reset_more_than_allowed_is_too_much_and_later_ones_are_counted_anew() {
    let reset = frame(3, 0, 1, &8_u32.to_be_bytes());
    let mut frames = with_streams(1);
    for _ in 0..RESETS_MAX {
        frames.received(&reset, at(1.0));
    }
    assert_eq!((frames.excess(), frames.has_resets()), (None, true));
    let mut later = with_streams(1);
    for _ in 0..RESETS_MAX {
        later.received(&reset, at(1.0));
    }
    later.received(&reset, at(1.0) + RESETS_WITHIN);
    assert_eq!(later.excess(), None);
    frames.received(&reset, at(10.9));
    assert_eq!(frames.excess(), Some(Excess::Resets));
}

#[test]
fn resets_of_ours_count_where_the_client_is_to_blame() {
    for (code, counts) in [(0, false), (1, true), (2, false), (3, true), (5, true), (6, true), (7, true), (8, false)] {
        let mut frames = with_streams(0);
        frames.received(&frame(4, 1, 0, &[]), at(0.0));
        for _ in 0..=RESETS_MAX {
            frames.sent(&frame(3, 0, 1, &u32::to_be_bytes(code)), at(0.0));
        }
        assert_eq!(frames.excess().is_some(), counts, "code {code}");
    }
    // Refused before the client could know how many streams it may open.
    let mut frames = with_streams(0);
    for _ in 0..=RESETS_MAX {
        frames.sent(&frame(3, 0, 1, &7_u32.to_be_bytes()), at(0.0));
    }
    assert_eq!(frames.excess(), None);
}

#[test]
fn control_frames_are_a_bucket_that_time_and_answers_fill() {
    let ping = frame(6, 0, 0, &[0; 8]);
    let mut frames = with_streams(1);
    for _ in 0..CONTROL_FRAMES_BURST_MAX {
        frames.received(&ping, at(0.0));
    }
    assert_eq!(frames.excess(), None);
    for _ in 0..CONTROL_FRAMES_PER_SECOND {
        frames.received(&ping, at(1.0));
    }
    assert_eq!(frames.excess(), None);
    frames.sent(&answer(1, 1_024), at(1.0));
    for _ in 0..2 * EARNED_PER_FRAME + 1 {
        frames.received(&ping, at(1.0));
    }
    assert_eq!(frames.excess(), None);
    frames.received(&ping, at(1.0));
    assert_eq!(frames.excess(), Some(Excess::Control));
}

#[test]
fn a_reader_that_confirms_every_kibibyte_is_never_too_quick() {
    let mut frames = with_streams(1);
    for _ in 0..10_000 {
        frames.sent(&answer(1, 16_384), at(0.0));
        for _ in 0..16 {
            frames.received(&update(1, 1_024), at(0.0));
        }
        frames.received(&update(0, 16_384), at(0.0));
    }
    assert_eq!(frames.excess(), None);
}

#[test]
fn an_answer_without_room_ends_after_so_long_and_not_before() {
    let mut frames = with_streams(2);
    assert_eq!(frames.wakes_at(), None);
    frames.received(&update(0, 1 << 20), at(0.0));
    frames.sent(&answer(1, 65_535), at(1.0));
    frames.sent(&answer(3, 65_534), at(1.0));
    assert_eq!(frames.wakes_at(), Some(at(1.0) + WINDOW_STALL_MAX));
    assert_eq!(frames.stalled(at(10.999)), None);
    assert_eq!(frames.stalled(at(11.0)), Some(1));
    assert_eq!((frames.stalled(at(99.0)), frames.wakes_at()), (None, None));
}

#[test]
fn without_room_for_all_no_answer_goes_on() {
    let mut frames = with_streams(2);
    frames.sent(&answer(1, 65_000), at(0.0));
    frames.sent(&answer(3, 535), at(0.0));
    let mut ended: Vec<_> = std::iter::from_fn(|| frames.stalled(at(10.0))).collect();
    ended.sort_unstable();
    assert_eq!(ended, [1, 3]);
}

#[test]
fn an_event_now_and_then_goes_on_beside_a_download_that_uses_up_all_room() {
    let mut frames = with_streams(2);
    frames.received(&[update(1, 1 << 30), update(3, 1 << 30)].concat(), at(0.0));
    frames.sent(&answer(1, 65_000), at(0.0));
    frames.sent(&answer(3, 535), at(0.0));
    for turn in 1..1_000 {
        let now = at(f64::from(turn) * 0.1);
        assert_eq!(frames.stalled(now), None, "turn {turn}");
        frames.received(&update(0, 16_384), now);
        frames.sent(&[frame(0, 0, 1, &[0; 16_374]), frame(0, 0, 3, &[0; 10])].concat(), now);
    }
}

#[test]
fn time_in_which_nobody_waited_counts_for_nobody() {
    let mut frames = with_streams(2);
    frames.received(&frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]), at(0.0));
    // A region that thinks for long, and a client that opens in good time.
    frames.sent(&frame(1, 4, 1, &[0x88]), at(60.0));
    frames.received(&update(1, 10), at(61.0));
    frames.sent(&frame(0, 0, 1, &[0; 10]), at(61.0));
    assert_eq!(frames.stalled(at(69.0)), None);
    assert_eq!(frames.stalled(at(70.5)), Some(1));
    // All room is used up, and only then another answer begins.
    frames.received(&update(3, 1 << 20), at(70.0));
    frames.sent(&frame(0, 1, 1, &[0; 65_525]), at(70.0));
    frames.sent(&frame(1, 4, 3, &[0x88]), at(100.0));
    assert_eq!(frames.wakes_at(), Some(at(100.0) + WINDOW_STALL_MAX));
}

#[test]
fn drips_add_up_and_a_steady_reader_makes_up_for_its_waits() {
    let mut drips = with_streams(1);
    drips.received(&update(0, 1 << 20), at(0.0));
    drips.sent(&answer(1, 65_535), at(0.0));
    drips.received(&update(1, 1), at(9.0));
    drips.sent(&frame(0, 0, 1, &[0]), at(9.0));
    assert_eq!(drips.stalled(at(9.9)), None);
    assert_eq!(drips.stalled(at(10.1)), Some(1));

    let mut steady = with_streams(1);
    steady.received(&update(0, 1 << 20), at(0.0));
    steady.sent(&answer(1, 65_535), at(0.0));
    for turn in 1..50 {
        let now = at(f64::from(turn) * 8.0);
        assert_eq!(steady.stalled(now), None, "turn {turn}");
        steady.received(&update(1, 8 << 10), now);
        steady.sent(&frame(0, 0, 1, &[0; 8 << 10]), now);
    }
}

#[test]
fn what_has_no_answer_yet_or_no_more_is_not_waited_for() {
    let mut frames = with_streams(3);
    frames.received(&frame(4, 0, 0, &[0, 4, 0, 0, 4, 0]), at(0.0));
    frames.sent(&answer(1, 1_024), at(0.0));
    frames.received(&frame(3, 0, 1, &[0, 0, 0, 8]), at(1.0));
    frames.sent(&[frame(1, 4, 3, &[0x88]), frame(0, 1, 3, &[0; 1_024])].concat(), at(1.0));
    assert_eq!(frames.wakes_at(), None);
}

#[test]
fn a_client_in_the_middle_of_a_frame_has_as_long_again() {
    let mut frames = with_streams(1);
    frames.received(&update(0, 1 << 20), at(0.0));
    frames.sent(&answer(1, 65_535), at(0.0));
    frames.received(&[0, 0, 9], at(0.0));
    assert_eq!(frames.wakes_at(), Some(at(0.0) + 2 * WINDOW_STALL_MAX));
    assert_eq!((frames.stalled(at(19.9)), frames.excess()), (None, None));
    assert_eq!((frames.stalled(at(20.0)), frames.excess()), (None, Some(Excess::Stuck)));
}

#[test]
fn streams_without_room_from_the_beginning_are_few_however_that_comes_about() {
    let narrow = |value: u32| frame(4, 0, 0, &[&[0, 4][..], &value.to_be_bytes()].concat());
    let least = u32::try_from(NARROW_WINDOW_BYTES).expect("small");
    let most = u32::try_from(NARROW_STREAMS_MAX).expect("small");
    for (streams, window, excess) in [
        (most, 0, None),
        (most + 1, 0, Some(Excess::NoRoom)),
        (100, least, None),
        (100, least - 1, Some(Excess::NoRoom)),
    ] {
        let mut frames = with_streams(streams);
        frames.received(&narrow(window), at(0.0));
        assert_eq!(frames.excess(), excess, "{streams} streams, {window} octets, afterwards");
        let mut frames = with_streams(0);
        frames.received(&narrow(window), at(0.0));
        for stream in 0..streams {
            frames.received(&frame(1, 5, 2 * stream + 1, &[0x82]), at(0.0));
        }
        assert_eq!(frames.excess(), excess, "{streams} streams, {window} octets, before");
    }
}

#[test]
fn who_waits_longest_is_crowded_out_but_for_a_few() {
    let few = u32::try_from(WAITING_ON_CONNECTION_FEW).expect("small");
    let mut frames = with_streams(few + 2);
    for stream in 0..few + 2 {
        frames.sent(&frame(1, 4, 2 * stream + 1, &[0x88]), at(0.0));
    }
    assert!(!frames.has_waiting());
    // One after the other has no room; all of the connection stays open.
    frames.received(&update(0, 1 << 30), at(0.0));
    for stream in (0..few + 2).rev() {
        frames.sent(&frame(0, 0, 2 * stream + 1, &[0; 65_535]), at(0.1 * f64::from(few + 2 - stream)));
    }
    assert!(frames.has_waiting());
    assert_eq!((frames.waiting(at(1.09)), frames.waiting(at(1.1))), (0, 1));
    let all = at(0.1 * f64::from(few + 2)) + WAITING_AFTER;
    assert_eq!(frames.crowded_out(at(0.1 * f64::from(few)) + WAITING_AFTER), None);
    assert_eq!(frames.crowded_out(all), Some(2 * few + 3));
    assert_eq!(frames.crowded_out(all), Some(2 * few + 1));
    assert_eq!((frames.crowded_out(all), frames.waiting(all)), (None, WAITING_ON_CONNECTION_FEW));
}

#[test]
fn on_a_connection_that_takes_nothing_every_answer_waits() {
    let mut frames = with_streams(3);
    frames.sent(&[answer(1, 10), answer(3, 10)].concat(), at(0.0));
    frames.blocked(true, at(1.0));
    frames.blocked(true, at(1.9));
    assert_eq!((frames.has_waiting(), frames.waiting(at(2.0))), (true, 2));
    // That alone ends none.
    assert_eq!(frames.wakes_at(), None);
    frames.blocked(false, at(2.0));
    frames.blocked(true, at(2.0));
    assert_eq!((frames.has_waiting(), frames.waiting(at(2.9))), (true, 0));
}

#[test]
fn in_a_crowd_the_middle_of_a_frame_protects_for_a_moment() {
    let few = u32::try_from(WAITING_ON_CONNECTION_FEW).expect("small");
    let mut frames = with_streams(few + 1);
    for stream in 0..=few {
        frames.sent(&frame(1, 4, 2 * stream + 1, &[0x88]), at(0.0));
    }
    frames.blocked(true, at(0.0));
    // One frame and the head of another: it is the second that counts.
    frames.received(&[0, 0, 3, 0], at(0.0));
    frames.received(&[0, 0, 0, 0, 1, b'a', b'b', b'c', 0, 0], at(2.0));
    assert_eq!((frames.crowded_out(at(2.9)), frames.excess()), (None, None));
    assert_eq!((frames.crowded_out(at(3.0)), frames.excess()), (None, Some(Excess::Stuck)));
}

#[test]
fn no_more_streams_are_watched_than_can_be_open() {
    let frames = with_streams(10 * u32::try_from(STREAMS_WATCHED_MAX).expect("small"));
    assert_eq!(frames.books.open.len(), STREAMS_WATCHED_MAX);
}
