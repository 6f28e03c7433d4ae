//! The MCP server of a stand-in: what it says, in both eras of the protocol. Pure: heads and JSON in, octets out.
//!
//! Up to 2025-11-25 it has sessions, known to this stand-in alone; from 2026-07-28 on every request stands for itself and
//! its headers must say what its body says. Enough for the official SDKs, and no more.

use crate::moment::mix;
use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::{Value as Json, json};
use std::collections::VecDeque;

/// Versions with sessions, newest first: one that is asked for is spoken, instead of any other the newest.
const VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
/// The first version without.
const STATELESS: &str = "2026-07-28";
/// Sessions open at once; the oldest makes room.
const SESSIONS_MAX: usize = 1_024;
/// Steps of `slow`, unless it is said, and at most.
const STEPS: u64 = 5;
const STEPS_MAX: u64 = 10_000;

/// The sessions that a stand-in has begun.
#[derive(Debug)]
pub(super) struct Sessions {
    seed: u64,
    begun: u64,
    open: VecDeque<String>,
}

impl Sessions {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, begun: 0, open: VecDeque::new() }
    }

    fn begin(&mut self) -> String {
        self.begun += 1;
        let id = format!("{:016x}{:016x}", mix(self.seed ^ self.begun), mix(self.seed.rotate_left(32) ^ self.begun));
        if self.open.len() == SESSIONS_MAX {
            self.open.pop_front();
        }
        self.open.push_back(id.clone());
        id
    }

    fn knows(&self, id: &str) -> bool {
        self.open.iter().any(|open| open == id)
    }
}

/// What is asked.
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
    /// Whose name `whoami` tells.
    pub(super) region: &'a str,
}

/// What is answered.
#[derive(Debug, PartialEq)]
pub(super) struct Said {
    pub(super) status: u16,
    pub(super) content: Content,
    /// The session that has begun.
    pub(super) session: Option<String>,
}

/// With what.
#[derive(Debug, PartialEq)]
pub(super) enum Content {
    Nothing,
    Json(Json),
    /// Events, one after the other.
    Events(VecDeque<Bytes>),
    /// Events that never end, after the first.
    Listening(Bytes),
}

impl Said {
    fn new(status: u16, content: Content) -> Self {
        Self { status, content, session: None }
    }

    fn json(json: Json) -> Self {
        Self::new(200, Content::Json(json))
    }

    fn wrong(status: u16, id: &Json, code: i64, message: &str) -> Self {
        Self::new(status, Content::Json(error(id, code, message)))
    }
}

impl Asked<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn accepts(&self, kind: &str) -> bool {
        self.header("accept").is_some_and(|accept| accept.contains(kind) || accept.contains("*/*"))
    }

    /// The answer.
    pub(super) fn answer(&self, sessions: &mut Sessions) -> Said {
        if self.header("mcp-protocol-version").is_some_and(|version| version >= STATELESS) {
            return self.stateless();
        }
        match *self.method {
            Method::POST => match serde_json::from_slice(self.body) {
                Ok(Json::Array(calls)) => self.batch(&calls, sessions),
                Ok(call) if call.is_object() => self.call(&call, sessions),
                _ => Said::wrong(400, &Json::Null, -32_700, "the body is no JSON-RPC"),
            },
            Method::GET if !self.accepts("text/event-stream") => {
                Said::wrong(406, &Json::Null, -32_600, "a GET listens to text/event-stream")
            }
            Method::GET => self.in_session(&Json::Null, sessions, |_| {
                let since = self.header("last-event-id").unwrap_or("the beginning");
                Said::new(200, Content::Listening(Bytes::from(format!(": since {since}\n\n"))))
            }),
            Method::DELETE => self.in_session(&Json::Null, sessions, |sessions| {
                let id = self.header("mcp-session-id").unwrap_or_default().to_owned();
                sessions.open.retain(|open| *open != id);
                Said::new(200, Content::Nothing)
            }),
            _ => Said::new(405, Content::Nothing),
        }
    }

    /// What is said if the request names a session that is known here.
    fn in_session(&self, id: &Json, sessions: &mut Sessions, say: impl FnOnce(&mut Sessions) -> Said) -> Said {
        match self.header("mcp-session-id") {
            None => Said::wrong(400, id, -32_600, "Mcp-Session-Id is missing"),
            Some(session) if !sessions.knows(session) => Said::wrong(404, id, -32_001, "Session not found"),
            Some(_) => say(sessions),
        }
    }

    fn call(&self, call: &Json, sessions: &mut Sessions) -> Said {
        if call["method"] == "initialize" && !call["id"].is_null() {
            return self.initialize(call, sessions);
        }
        self.in_session(&call["id"], sessions, |_| self.said(call))
    }

    fn initialize(&self, call: &Json, sessions: &mut Sessions) -> Said {
        let wanted = call["params"]["protocolVersion"].as_str().unwrap_or_default();
        let version = VERSIONS.iter().find(|known| **known == wanted).unwrap_or(&VERSIONS[0]);
        let result = json!({"protocolVersion": version, "capabilities": capabilities(), "serverInfo": info()});
        Said { session: Some(sessions.begin()), ..self.framed(&[], result_of(&call["id"], &result)) }
    }

    /// What is said to one call, in whichever era.
    fn said(&self, call: &Json) -> Said {
        if call["id"].is_null() || !call["method"].is_string() {
            return Said::new(202, Content::Nothing);
        }
        let notices = if call["params"]["name"] == "slow" { progress(call) } else { Vec::new() };
        self.framed(&notices, self.replied(call))
    }

    /// A batch is answered by one.
    fn batch(&self, calls: &[Json], sessions: &mut Sessions) -> Said {
        self.in_session(&Json::Null, sessions, |_| {
            let calls = calls.iter().filter(|call| !call["id"].is_null() && call["method"].is_string());
            let replies: Vec<Json> = calls.map(|call| self.replied(call)).collect();
            if replies.is_empty() { Said::new(202, Content::Nothing) } else { Said::json(Json::Array(replies)) }
        })
    }

    /// As events where something goes before the reply, or where only events are accepted.
    fn framed(&self, notices: &[Json], reply: Json) -> Said {
        let takes_events = self.accepts("text/event-stream");
        if takes_events && (!notices.is_empty() || !self.accepts("application/json")) {
            let events = notices.iter().chain([&reply]).enumerate();
            let events =
                events.map(|(at, message)| Bytes::from(format!("event: message\nid: {at}\ndata: {message}\n\n")));
            return Said::new(200, Content::Events(events.collect()));
        }
        Said::json(reply)
    }

    fn replied(&self, call: &Json) -> Json {
        let (id, params) = (&call["id"], &call["params"]);
        let listed = |what: &str, list: Json| {
            result_of(id, &json!({what: list, "resultType": "complete", "ttlMs": 60_000, "cacheScope": "public"}))
        };
        match call["method"].as_str().unwrap_or_default() {
            "ping" => result_of(id, &json!({})),
            "tools/list" => listed("tools", tools()),
            "prompts/list" => listed("prompts", json!([])),
            "resources/list" => listed("resources", json!([])),
            "resources/templates/list" => listed("resourceTemplates", json!([])),
            "prompts/get" | "resources/read" => error(id, -32_602, "there is none of that name"),
            "tools/call" => self.tool(id, params),
            method => error(id, -32_601, &format!("there is no method {method:?} here")),
        }
    }

    fn tool(&self, id: &Json, params: &Json) -> Json {
        let text = match params["name"].as_str().unwrap_or_default() {
            "whoami" => self.region.to_owned(),
            "echo" => params["arguments"]["text"].as_str().unwrap_or_default().to_owned(),
            "slow" => format!("{} steps in {}", steps(params), self.region),
            name => return error(id, -32_602, &format!("there is no tool {name:?} here")),
        };
        let content = json!([{"type": "text", "text": text}]);
        result_of(id, &json!({"content": content, "isError": false, "resultType": "complete"}))
    }

    /// From 2026-07-28 on: nothing but POST, and no session.
    fn stateless(&self) -> Said {
        if *self.method != Method::POST {
            return Said::new(405, Content::Nothing);
        }
        let Some(call) = serde_json::from_slice::<Json>(self.body).ok().filter(Json::is_object) else {
            return Said::wrong(400, &Json::Null, -32_700, "the body is no JSON-RPC");
        };
        let id = &call["id"];
        if let Some(header) = self.mismatch(&call) {
            return Said::wrong(400, id, -32_020, &format!("{header} does not say what the body says"));
        }
        if call["method"] == "server/discover" {
            let versions: Vec<&str> = [STATELESS].into_iter().chain(VERSIONS).collect();
            let result = json!({
                "supportedVersions": versions, "capabilities": capabilities(), "serverInfo": info(),
                "resultType": "complete", "ttlMs": 60_000, "cacheScope": "public",
            });
            return self.framed(&[], result_of(id, &result));
        }
        self.said(&call)
    }

    /// The header that does not say what the body says.
    fn mismatch(&self, call: &Json) -> Option<&'static str> {
        let params = &call["params"];
        let name = match call["method"].as_str().unwrap_or_default() {
            "tools/call" | "prompts/get" => params["name"].as_str(),
            "resources/read" => params["uri"].as_str(),
            _ => None,
        };
        if self.header("mcp-method") != call["method"].as_str() {
            return Some("Mcp-Method");
        }
        if name.is_some() && self.header("mcp-name") != name {
            return Some("Mcp-Name");
        }
        let version = params["_meta"]["io.modelcontextprotocol/protocolVersion"].as_str();
        (version.is_some() && self.header("mcp-protocol-version") != version).then_some("MCP-Protocol-Version")
    }
}

fn steps(params: &Json) -> u64 {
    params["arguments"]["steps"].as_u64().unwrap_or(STEPS).clamp(1, STEPS_MAX)
}

/// One notice for each step but the last, if the call has a token for them.
fn progress(call: &Json) -> Vec<Json> {
    let (token, total) = (&call["params"]["_meta"]["progressToken"], steps(&call["params"]));
    let notice = |step: u64| {
        let params = json!({"progressToken": token, "progress": step, "total": total});
        json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
    };
    let of_log = |step: u64| {
        let params = json!({"level": "info", "data": format!("step {step} of {total}")});
        json!({"jsonrpc": "2.0", "method": "notifications/message", "params": params})
    };
    (1..total).map(|step| if token.is_null() { of_log(step) } else { notice(step) }).collect()
}

fn capabilities() -> Json {
    json!({"tools": {}, "prompts": {}, "resources": {}, "logging": {}})
}

fn info() -> Json {
    json!({"name": "anyfront-lab", "version": env!("CARGO_PKG_VERSION")})
}

fn tools() -> Json {
    let tool = |name: &str, description: &str, properties: Json| {
        let schema = json!({"type": "object", "properties": properties});
        json!({"name": name, "description": description, "inputSchema": schema})
    };
    json!([
        tool("whoami", "Which region answers.", json!({})),
        tool("echo", "The text that is given.", json!({"text": {"type": "string"}})),
        tool("slow", "Takes as many steps as it is told, and tells of each.", json!({"steps": {"type": "integer"}})),
    ])
}

fn result_of(id: &Json, result: &Json) -> Json {
    json!({"jsonrpc": "2.0", "id": id, "result": result})
}

fn error(id: &Json, code: i64, message: &str) -> Json {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const BOTH: (&str, &str) = ("accept", "application/json, text/event-stream");

    fn ask(sessions: &mut Sessions, method: &Method, fields: &[(&'static str, &str)], body: &Json) -> Said {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.insert(*name, HeaderValue::from_str(value).expect("a value"));
        }
        let body = body.to_string();
        Asked { method, headers: &headers, body: body.as_bytes(), region: "dia" }.answer(sessions)
    }

    fn call(method: &str, params: &Json) -> Json {
        json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
    }

    fn body(said: &Said) -> &Json {
        let Content::Json(json) = &said.content else { panic!("{said:?} is no JSON") };
        json
    }

    fn begun(sessions: &mut Sessions) -> String {
        let said =
            ask(sessions, &Method::POST, &[BOTH], &call("initialize", &json!({"protocolVersion": "2025-06-18"})));
        assert_eq!(body(&said)["result"]["protocolVersion"], "2025-06-18");
        said.session.expect("a session")
    }

    #[test]
    fn a_session_is_known_where_it_began_until_it_is_deleted() {
        let (mut here, mut there) = (Sessions::new(1), Sessions::new(2));
        let id = begun(&mut here);
        let list = call("tools/list", &json!({}));
        let with = [BOTH, ("mcp-session-id", id.as_str())];
        assert_eq!(ask(&mut here, &Method::POST, &[BOTH], &list).status, 400);
        assert_eq!(ask(&mut there, &Method::POST, &with, &list).status, 404);
        let said = ask(&mut here, &Method::POST, &with, &list);
        assert_eq!(body(&said)["result"]["tools"][0]["name"], "whoami");
        let listening = ask(&mut here, &Method::GET, &[with[0], with[1], ("last-event-id", "4")], &json!(null));
        assert_eq!(listening.content, Content::Listening(Bytes::from_static(b": since 4\n\n")));
        assert_eq!(ask(&mut here, &Method::DELETE, &with, &json!(null)).status, 200);
        assert_eq!(ask(&mut here, &Method::POST, &with, &list).status, 404);
    }

    #[test]
    fn sessions_are_bounded_and_the_oldest_goes() {
        let mut sessions = Sessions::new(1);
        let first = begun(&mut sessions);
        let second = begun(&mut sessions);
        for _ in 2..=SESSIONS_MAX {
            begun(&mut sessions);
        }
        assert!(!sessions.knows(&first) && sessions.knows(&second));
    }

    #[test]
    fn what_is_slow_tells_of_each_step() {
        let mut sessions = Sessions::new(1);
        let id = begun(&mut sessions);
        let slow =
            call("tools/call", &json!({"name": "slow", "arguments": {"steps": 3}, "_meta": {"progressToken": 9}}));
        let said = ask(&mut sessions, &Method::POST, &[BOTH, ("mcp-session-id", &id)], &slow);
        let Content::Events(events) = said.content else { panic!("no events") };
        let events: Vec<String> = events.iter().map(|event| String::from_utf8_lossy(event).into_owned()).collect();
        assert_eq!(events.len(), 3, "{events:?}");
        assert!(events[1].contains("\"progress\":2") && events[2].contains("3 steps in dia"), "{events:?}");
        let said = ask(&mut sessions, &Method::POST, &[("accept", "application/json"), ("mcp-session-id", &id)], &slow);
        assert_eq!(body(&said)["result"]["content"][0]["text"], "3 steps in dia");
    }

    #[test]
    fn without_sessions_headers_say_what_the_body_says() {
        let mut none = Sessions::new(1);
        let version = ("mcp-protocol-version", "2026-07-28");
        let whoami = call("tools/call", &json!({"name": "whoami"}));
        let good = [version, ("mcp-method", "tools/call"), ("mcp-name", "whoami")];
        assert_eq!(body(&ask(&mut none, &Method::POST, &good, &whoami))["result"]["content"][0]["text"], "dia");
        for bad in [
            [version, version, version],
            [version, ("mcp-method", "tools/list"), ("mcp-name", "whoami")],
            [good[0], good[1], ("mcp-name", "echo")],
        ] {
            let said = ask(&mut none, &Method::POST, &bad, &whoami);
            assert_eq!((said.status, &body(&said)["error"]["code"]), (400, &json!(-32_020)), "{bad:?}");
        }
        let discover = ask(
            &mut none,
            &Method::POST,
            &[version, ("mcp-method", "server/discover")],
            &call("server/discover", &json!({})),
        );
        assert_eq!(body(&discover)["result"]["supportedVersions"][0], STATELESS);
        for method in [Method::GET, Method::DELETE] {
            assert_eq!(ask(&mut none, &method, &[version], &json!(null)).status, 405);
        }
    }

    #[test]
    fn notices_are_taken_and_nonsense_is_told() {
        let mut sessions = Sessions::new(1);
        let id = begun(&mut sessions);
        let with = [BOTH, ("mcp-session-id", id.as_str())];
        let notice = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        assert_eq!(ask(&mut sessions, &Method::POST, &with, &notice).status, 202);
        assert_eq!(ask(&mut sessions, &Method::POST, &with, &json!("x")).status, 400);
        let unknown = ask(&mut sessions, &Method::POST, &with, &call("tools/destroy", &json!({})));
        assert_eq!(body(&unknown)["error"]["code"], -32_601);
        let both = json!([call("ping", &json!({})), notice]);
        assert_eq!(body(&ask(&mut sessions, &Method::POST, &with, &both)).as_array().map(Vec::len), Some(1));
    }
}
