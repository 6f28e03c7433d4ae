"""Verifies one webhook with the official library, as its receivers do."""

import json
import sys

try:
    from standardwebhooks.webhooks import Webhook, WebhookVerificationError
except ImportError:
    print("missing")
    sys.exit()

told = json.load(sys.stdin)
try:
    Webhook(told["secret"]).verify(told["body"], told["headers"])
    print("believed")
except WebhookVerificationError:
    print("refused")
