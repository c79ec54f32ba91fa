"""Files every result once, then acknowledges it. Usage: consumer.py HOST PORT DATABASE INSTANCE [SHARED-GROUP]"""

import hashlib, sqlite3, sys, time

from paho.mqtt.client import CallbackAPIVersion, Client, MQTTv5
from paho.mqtt.properties import PacketTypes, Properties

PREFIX, CONSUMER, HL7, JSON = "ivd/v1", "ivd", "application/hl7-v2; charset=utf-8", "application/json"
host, port, database, instance, *group = sys.argv[1:]
db = sqlite3.connect(database, timeout=30, isolation_level=None)  # every statement commits, to the disk:
db.executescript("""PRAGMA synchronous = EXTRA;
    CREATE TABLE IF NOT EXISTS filed (id TEXT PRIMARY KEY, topic TEXT, sequence INTEGER, payload BLOB);""")
state, born, owed = f"{PREFIX}/_central/{CONSUMER}/{instance}/state", time.time_ns() // 1_000_000, {}


def properties(packet, content_type, **more):
    made = Properties(packet)
    for name, value in {"ContentType": content_type, "PayloadFormatIndicator": 1, **more}.items():
        setattr(made, name, value)
    return made


def file(topic, payload, key, user):  # what to answer: AA once it is on the disk, else AE and why (HL7 table 0357)
    segments = {segment[:4] for segment in payload.split(b"\r")}
    ours = payload.split(b"|")[9:10] == [key.encode()] and user.get("digest") == hashlib.sha256(payload).hexdigest()
    if not ours or not {b"MSH|", b"SPM|", b"OBX|"} <= segments or "sequence" not in user:
        return "AE", "ERR|||100^Segment sequence error^HL70357|E\r"
    db.execute("INSERT OR IGNORE INTO filed VALUES (?, ?, ?, ?)", (key, topic, user["sequence"], payload))
    [[same]] = db.execute("SELECT payload = ? FROM filed WHERE id = ?", (payload, key))
    return ("AA", "") if same else ("AE", "ERR|||205^Duplicate key identifier^HL70357|E\r")


def on_connect(client, _userdata, _flags, _code, _properties):
    share = f"$share/{group[0]}/" if group else ""
    client.subscribe([(f"{share}{PREFIX}/+/+/up/+/{route}", 1) for route in ("result", "qc", "validation")])
    client.publish(state, b'{"online": true, "timestamp": %d}' % born, 1, True, properties(PacketTypes.PUBLISH, JSON))


def on_message(client, _userdata, message):
    there, said = f"{message.topic.rsplit('/', 3)[0]}/down/ack/{CONSUMER}", message.properties
    if getattr(said, "ResponseTopic", "") != there:  # another consumer's route: it files and answers
        return client.ack(message.mid, message.qos)
    key = getattr(said, "CorrelationData", b"").decode("utf-8", "replace")
    code, error = file(message.topic, message.payload, key, dict(getattr(said, "UserProperty", ())))
    head = f"MSH|^~\\&|IVD|CENTRAL|||{time.strftime('%Y%m%d%H%M%S')}||ACK^R22^ACK|{time.time_ns()}|P|2.5.1"
    more = {"CorrelationData": key.encode(), "UserProperty": ("digest", hashlib.sha256(message.payload).hexdigest())}
    text, made = f"{head}\rMSA|{code}|{key}\r{error}", properties(PacketTypes.PUBLISH, HL7, **more)
    owed[client.publish(there, text, 1, False, made).mid] = message.mid, message.qos


client = Client(CallbackAPIVersion.VERSION2, f"{CONSUMER}-{instance}", protocol=MQTTv5, manual_ack=True)
client.on_connect, client.on_message = on_connect, on_message
# The PUBACK goes when the broker has our ACK. Not when it may not have it: this program ends, and the message stays.
client.on_publish = lambda c, _u, mid, how, _p: sys.exit(str(how)) if how.is_failure else c.ack(*owed.pop(mid, (0, 0)))
client.on_disconnect = lambda *_: sys.exit("The connection ended.")  # what keeps this program running starts it again
client.will_set(state, b'{"online": false, "timestamp": %d}' % born, 1, True, properties(PacketTypes.WILLMESSAGE, JSON))
session = Properties(PacketTypes.CONNECT)
session.SessionExpiryInterval = 10 if group else 7 * 86_400  # alone: results wait at the broker while we are away
client.connect(host, int(port), keepalive=30, clean_start=False, properties=session)
client.loop_forever()
