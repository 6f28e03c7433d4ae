//! The OpenAI-compatible part of a stand-in: what it says. Pure: JSON in, octets out.

use crate::moment::Dice;
use bytes::Bytes;
use serde_json::{Value as Json, json};
use std::collections::VecDeque;

/// The models there are.
const MODELS: [&str; 2] = ["lab-small", "lab-large"];
/// Numbers in an embedding.
const EMBEDDING_DIMENSIONS: usize = 16;
/// Most tokens of one answer: an hour and more at the usual pace.
const TOKENS_MAX: u64 = 100_000;

/// What is wrong with a request: status and a sentence.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong(pub(super) u16, pub(super) String);

/// A completion, all at once or token by token.
#[derive(Debug)]
pub(super) enum Completion {
    Whole(Bytes),
    Streamed(VecDeque<Bytes>),
}

pub(super) fn models() -> Bytes {
    let data: Vec<Json> = MODELS
        .iter()
        .map(|model| json!({"id": model, "object": "model", "created": 1_700_000_000, "owned_by": "anyfront-lab"}))
        .collect();
    octets(&json!({"object": "list", "data": data}))
}

/// The same text has the same embedding everywhere.
pub(super) fn embeddings(request: &[u8]) -> Result<Bytes, Wrong> {
    let request = parsed(request)?;
    let texts: Vec<&str> = match &request["input"] {
        Json::String(text) => vec![text],
        Json::Array(texts) => texts.iter().filter_map(Json::as_str).collect(),
        _ => return Err(Wrong(400, "input is missing: it should be a string or a list of strings".to_owned())),
    };
    let data: Vec<Json> = texts
        .iter()
        .enumerate()
        .map(|(at, text)| json!({"object": "embedding", "index": at, "embedding": embedding(text)}))
        .collect();
    let tokens: usize = texts.iter().map(|text| text.split_whitespace().count()).sum();
    let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
    Ok(octets(&json!({"object": "list", "model": model(&request), "data": data, "usage": usage})))
}

/// What `place` says to the conversation; `number` makes the id.
pub(super) fn completion(request: &[u8], place: &str, number: u64) -> Result<Completion, Wrong> {
    let request = parsed(request)?;
    let Some(messages) = request["messages"].as_array() else {
        return Err(Wrong(400, "messages is missing: it should be a list of messages".to_owned()));
    };
    let said = messages.iter().rev().find_map(|message| message["content"].as_str()).unwrap_or_default();
    let prompt_tokens: usize = messages
        .iter()
        .filter_map(|message| message["content"].as_str())
        .map(|content| content.split_whitespace().count())
        .sum();
    let tokens = tokens(&request, &format!("Greetings from {place}. You said: {said}"));
    let head = json!({"id": format!("chatcmpl-lab-{number}"), "created": 1_700_000_000, "model": model(&request)});
    let finish = if wanted_tokens(&request).is_some() { "length" } else { "stop" };
    let usage = json!({
        "prompt_tokens": prompt_tokens,
        "completion_tokens": tokens.len(),
        "total_tokens": prompt_tokens + tokens.len(),
    });
    if request["stream"].as_bool() != Some(true) {
        let message = json!({"role": "assistant", "content": tokens.concat()});
        let mut whole = head;
        whole["object"] = json!("chat.completion");
        whole["choices"] = json!([{"index": 0, "message": message, "finish_reason": finish}]);
        whole["usage"] = usage;
        return Ok(Completion::Whole(octets(&whole)));
    }
    let event = |delta: Json, finish: Option<&str>| {
        let mut chunk = head.clone();
        chunk["object"] = json!("chat.completion.chunk");
        chunk["choices"] = json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
        data(&chunk)
    };
    let mut events = VecDeque::with_capacity(tokens.len() + 4);
    events.push_back(event(json!({"role": "assistant", "content": ""}), None));
    events.extend(tokens.iter().map(|token| event(json!({"content": token}), None)));
    events.push_back(event(json!({}), Some(finish)));
    if request["stream_options"]["include_usage"].as_bool() == Some(true) {
        let mut chunk = head.clone();
        chunk["object"] = json!("chat.completion.chunk");
        chunk["choices"] = json!([]);
        chunk["usage"] = usage;
        events.push_back(data(&chunk));
    }
    events.push_back(Bytes::from_static(b"data: [DONE]\n\n"));
    Ok(Completion::Streamed(events))
}

/// An error in OpenAI's shape.
pub(super) fn error(message: &str, kind: &str) -> Bytes {
    octets(&json!({"error": {"message": message, "type": kind, "param": null, "code": null}}))
}

/// JSON with a line's end, for terminals.
pub(super) fn octets(json: &Json) -> Bytes {
    Bytes::from(format!("{json}\n"))
}

/// One event of a stream (Server-Sent Events, §9.2 of the HTML standard).
fn data(json: &Json) -> Bytes {
    Bytes::from(format!("data: {json}\n\n"))
}

fn parsed(request: &[u8]) -> Result<Json, Wrong> {
    serde_json::from_slice(request).map_err(|error| Wrong(400, format!("the body is no JSON: {error}")))
}

fn model(request: &Json) -> &str {
    request["model"].as_str().unwrap_or(MODELS[0])
}

fn wanted_tokens(request: &Json) -> Option<u64> {
    request["max_completion_tokens"].as_u64().or(request["max_tokens"].as_u64())
}

/// The words of `text`, each with the space before it; said again and again if more are wanted, cut off if fewer.
fn tokens(request: &Json, text: &str) -> Vec<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let count = wanted_tokens(request).unwrap_or(words.len() as u64).min(TOKENS_MAX);
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let spaced = |(at, word): (usize, &&str)| if at == 0 { (*word).to_owned() } else { format!(" {word}") };
    words.iter().cycle().take(count).enumerate().map(spaced).collect()
}

fn embedding(text: &str) -> Vec<f64> {
    let seed = text.bytes().fold(0, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let mut dice = Dice::seeded(seed);
    let numbers: Vec<f64> = (0..EMBEDDING_DIMENSIONS).map(|_| 2.0 * dice.fraction() - 1.0).collect();
    let length = numbers.iter().map(|number| number * number).sum::<f64>().sqrt();
    numbers.iter().map(|number| number / length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streamed(request: &Json) -> Vec<String> {
        match completion(&octets(request), "Doha (dia)", 7) {
            Ok(Completion::Streamed(events)) => {
                events.iter().map(|event| String::from_utf8_lossy(event).into_owned()).collect()
            }
            other => panic!("{other:?} is no stream"),
        }
    }

    #[test]
    fn a_stream_says_what_the_whole_says() {
        let mut request = json!({"messages": [{"role": "user", "content": "how are you"}]});
        let Ok(Completion::Whole(whole)) = completion(&octets(&request), "Doha (dia)", 7) else { panic!("no answer") };
        let whole: Json = serde_json::from_slice(&whole).expect("JSON");
        request["stream"] = json!(true);
        let events = streamed(&request);
        assert_eq!(events.last().map(String::as_str), Some("data: [DONE]\n\n"));
        let said: String = events
            .iter()
            .filter_map(|event| serde_json::from_str::<Json>(event.trim().strip_prefix("data: ")?).ok())
            .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
            .collect();
        assert_eq!(whole["choices"][0]["message"]["content"], json!(said));
        assert_eq!(said, "Greetings from Doha (dia). You said: how are you");
    }

    #[test]
    fn it_says_as_many_tokens_as_are_wanted_and_counts_them() {
        let request = json!({
            "messages": [{"content": "hi"}], "stream": true, "max_tokens": 50,
            "stream_options": {"include_usage": true},
        });
        let events = streamed(&request);
        assert_eq!(events.len(), 50 + 4);
        assert!(events[52].contains("\"completion_tokens\":50"), "{}", events[52]);
    }

    #[test]
    fn nonsense_is_told_so() {
        assert!(completion(b"{", "x", 0).is_err());
        assert!(completion(b"{}", "x", 0).is_err());
        assert!(embeddings(b"{}").is_err());
        assert_eq!(embeddings(b"{\"input\":\"a\"}"), embeddings(b"{\"input\":[\"a\"]}"));
    }
}
