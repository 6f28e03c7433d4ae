//! Mails, in the mailbox of a real server: asked for twice, told once, threaded, ended by one click, and never more headers
//! than ours.

use crate::exim::{Exim, body, field, fields};
use crate::stand::{CLIENT, Stand, mail, page};
use crate::tls::{Authority, until};
use anyfront::history::story::Phase;
use anyfront::subscriptions::desk::{Refusal, Subscribed};

/// The mails of `local`, once there are so many.
fn mails(exim: &Exim, local: &str, count: usize) -> Vec<String> {
    until("the mails are there", || exim.mails(local).len() >= count);
    let mails = exim.mails(local);
    assert_eq!(mails.len(), count, "too many: {mails:#?}");
    mails
}

/// The token in a mail's link.
fn token(mail: &str) -> String {
    let text = body(mail);
    let (_, rest) = text.split_once("https://status.z.example/subscription/").expect("a link");
    rest.chars().take_while(char::is_ascii_alphanumeric).collect()
}

/// Somebody who has said yes.
fn confirmed(stand: &Stand, exim: &Exim, local: &str, scopes: &[&str]) -> String {
    assert_eq!(stand.subscribe_mail(&format!("{local}@mail.test"), scopes), Subscribed::Mailed);
    let token = token(&mails(exim, local, 1)[0]);
    let confirmed = stand.runtime.block_on(stand.desk.confirm(&token, CLIENT)).expect("it is known");
    assert!(confirmed.is_confirmed);
    token
}

#[test]
fn whoever_says_yes_twice_is_told_until_he_says_no() {
    let Some(exim) = Exim::start(None, None) else { return };
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("ours"));
    let mut stand = Stand::start(&folder, &authority, &page(&mail(exim.address, "security = \"none\"\n")));
    let token = confirmed(&stand, &exim, "anna", &["region:a"]);
    assert_eq!(stand.subscribe_mail("never@mail.test", &[]), Subscribed::Mailed);
    let asked = mails(&exim, "never", 1);
    assert_eq!(field(&asked[0], "Subject").as_deref(), Some("[How it goes] Please confirm your subscription"));
    assert!(body(&asked[0]).contains("/confirm"), "{}", asked[0]);

    let start = stand.wall();
    stand.tell("i1", "u1", Phase::Investigating, "We look into it: ö.");
    stand.publish();
    mails(&exim, "anna", 2);
    let took = stand.wall().saturating_sub(start);
    println!("from the incident to the mailbox: {took:.2?}");
    stand.tell("i1", "u2", Phase::Resolved, "It is over.");
    stand.tell_of("i2", "v1", Phase::Investigating, "Elsewhere.", "b", stand.wall());
    stand.publish();
    let all = mails(&exim, "anna", 3);
    // The server delivers several at once: the order in its folder is its own.
    let about = |phase: &str| {
        let is_it = |mail: &&String| field(mail, "Subject").is_some_and(|subject| subject.contains(phase));
        all.iter().find(is_it).expect("it came")
    };
    let (first, second) = (about("Investigating"), about("Resolved"));
    for (name, wanted) in [
        ("Subject", "[How it goes] Investigating: Trouble i1"),
        ("From", "How it goes <status@z.example>"),
        ("To", "anna@mail.test"),
        ("Auto-Submitted", "auto-generated"),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
    ] {
        let found = field(first, name).unwrap_or_default();
        assert_eq!(found.replace('"', ""), wanted, "{name} in\n{first}");
    }
    let unsubscribe = format!("<https://status.z.example/subscription/{token}/unsubscribe>");
    assert_eq!(field(first, "List-Unsubscribe").as_deref(), Some(&*unsubscribe), "{first}");
    assert!(field(first, "Date").is_some() && field(first, "In-Reply-To").is_none());
    let thread = field(first, "Message-ID").expect("an id");
    assert!(thread.ends_with("@z.example>"), "{thread}");
    assert_eq!(field(second, "In-Reply-To").as_ref(), Some(&thread));
    assert_eq!(field(second, "References").as_ref(), Some(&thread));
    assert_ne!(field(second, "Message-ID"), Some(thread));
    for part in ["text/plain", "text/html", "We look into it: ö.", "https://status.z.example/incident/i1"] {
        assert!(body(first).contains(part), "{part} in\n{}", body(first));
    }

    let ended = stand.runtime.block_on(stand.desk.unsubscribe(&token));
    assert_eq!(
        (ended, stand.runtime.block_on(stand.desk.unsubscribe(&token))),
        (Ok(()), Ok(())),
        "twice is no mistake"
    );
    confirmed(&stand, &exim, "witness", &[]);
    stand.tell("i1", "u3", Phase::Monitoring, "It comes back.");
    stand.publish();
    mails(&exim, "witness", 2);
    assert_eq!((exim.mails("anna").len(), exim.mails("never").len()), (3, 1), "who did not want it was told");
    stand.stop();
}

#[test]
fn a_server_that_must_be_secured_is_and_knows_who_we_are() {
    let authority = Authority::new("ours");
    let pair = authority.sign(&["localhost"]);
    let Some(exim) = Exim::start(Some(&pair), Some(("us", "correct"))) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("password"), "correct\n").expect("written");
    let login = "trust = [\"authority.pem\"]\nuser = \"us\"\npassword_file = \"password\"\n";
    let server =
        format!("[status.mail]\nserver = \"localhost:{}\"\nfrom = \"status@z.example\"\n{login}", exim.address.port());
    let stand = Stand::start(&folder, &authority, &page(&server));
    confirmed(&stand, &exim, "anna", &[]);
    let received = &exim.mails("anna")[0];
    assert!(received.contains("esmtpsa"), "secured and signed in:\n{received}");
    stand.stop();
}

#[test]
fn nothing_is_said_to_a_server_that_is_not_the_one_or_offers_no_tls() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let pair = theirs.sign(&["localhost"]);
    let Some(stranger) = Exim::start(Some(&pair), None) else { return };
    let Some(naked) = Exim::start(None, None) else { return };
    for exim in [stranger, naked] {
        let folder = tempfile::tempdir().expect("a folder");
        let port = exim.address.port();
        let server = format!("[status.mail]\nserver = \"localhost:{port}\"\nfrom = \"status@z.example\"\n");
        let trusting = format!("{server}trust = [\"authority.pem\"]\n");
        let stand = Stand::start(&folder, &ours, &page(&trusting));
        assert_eq!(stand.subscribe_mail("anna@mail.test", &[]), Subscribed::Mailed);
        let error = || {
            let read = stand
                .parts
                .store
                .read(|tx| tx.query_row("SELECT error FROM delivery", [], |row| row.get::<_, Option<String>>(0)));
            stand.runtime.block_on(read).expect("read")
        };
        until("it was tried", || error().is_some());
        let told = error().unwrap_or_default().to_lowercase();
        assert!(told.contains("certificate") || told.contains("starttls"), "{told}");
        assert!(exim.everybody().is_empty(), "it was told");
        stand.stop();
    }
}

#[test]
fn nothing_that_is_written_anywhere_becomes_a_header_or_a_command() {
    let Some(exim) = Exim::start(None, None) else { return };
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("ours"));
    let mut stand = Stand::start(&folder, &authority, &page(&mail(exim.address, "security = \"none\"\n")));
    confirmed(&stand, &exim, "anna", &[]);
    let evil = [
        "\r\nBcc: victim@mail.test",
        "\nBcc: victim@mail.test",
        "\rBcc: victim@mail.test",
        "\r\n\r\n<script>alert(1)</script>",
        "\r\n.\r\nMAIL FROM:<x@y.example>\r\nRCPT TO:<victim@mail.test>\r\nDATA\r\n",
        "\u{0}\u{7f}\u{1b}[31m",
        "\u{2028}Bcc: victim@mail.test\u{2029}\u{85}Bcc: victim@mail.test",
        "=?utf-8?Q?=0D=0ABcc:_victim@mail.test?=",
        "\u{202e}gpj.exe",
        "<img src=x onerror=alert(1)>",
    ];
    for (at, words) in evil.iter().enumerate() {
        let id = format!("i{at}");
        stand.tell(&id, &format!("u{at}"), Phase::Investigating, &format!("{words}\n.\n{words}\n..\n"));
        stand.entitle(&id, &format!("Title {at} {words} end"));
    }
    stand.publish();
    let known = [
        "return-path",
        "envelope-to",
        "delivery-date",
        "received",
        "from",
        "to",
        "subject",
        "date",
        "message-id",
        "auto-submitted",
        "x-auto-response-suppress",
        "list-unsubscribe",
        "list-unsubscribe-post",
        "mime-version",
        "content-type",
    ];
    for mail in &mails(&exim, "anna", 1 + evil.len())[1..] {
        let names: Vec<String> = fields(mail).into_iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        assert!(names.iter().all(|name| known.contains(&&**name)), "{names:?} in\n{mail}");
        assert_eq!(names.iter().filter(|name| *name == "subject").count(), 1);
        assert!(!body(mail).contains("<script>") || !body(mail).contains("<img"), "markup in\n{}", body(mail));
        let (_, html) = mail.split_once("text/html").expect("a second part");
        assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
    }
    let everybody = exim.everybody();
    assert!(!everybody.contains(&"victim".to_owned()), "{everybody:?}");
    for evil in
        ["a@mail.test\r\nBcc: victim@mail.test", "a@mail.test,victim@mail.test", "<victim@mail.test>", "a\n@mail.test"]
    {
        let refused = stand.subscribe_mail(evil, &[]);
        assert!(matches!(refused, Subscribed::Refused(Refusal::Wrong { field: "to", .. })), "{evil:?}: {refused:?}");
    }
    stand.stop();
}

#[test]
fn a_mailbox_that_is_refused_is_given_up_and_the_others_are_told() {
    let Some(exim) = Exim::start(None, None) else { return };
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("ours"));
    let stand = Stand::start(&folder, &authority, &page(&mail(exim.address, "security = \"none\"\n")));
    assert_eq!(stand.subscribe_mail("refused@mail.test", &[]), Subscribed::Mailed);
    confirmed(&stand, &exim, "anna", &[]);
    let state = || {
        let read = stand.parts.store.read(|tx| {
            tx.query_row("SELECT state FROM delivery ORDER BY seq LIMIT 1", [], |row| row.get::<_, String>(0))
        });
        stand.runtime.block_on(read).expect("read")
    };
    until("it is given up", || state() == "given_up");
    stand.stop();
}
