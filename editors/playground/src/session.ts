/**
 * Gets in: the address holds a token behind its #, which opens once and is exchanged for a key. The
 * key is kept for this tab alone, so that the page can be loaded again.
 */

const KEY = "inkling.key";

export interface Session {
  readonly key: string;
  /** The names of the models that are installed, the one to begin with first. */
  readonly models: readonly string[];
}

/** Returns null where neither the address nor this tab opens the door. */
export async function enter(): Promise<Session | null> {
  const token = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  for (const secret of [token, sessionStorage.getItem(KEY)]) {
    const session = secret ? await exchanged(secret) : null;
    if (session !== null) {
      sessionStorage.setItem(KEY, session.key);
      return session;
    }
  }
  return null;
}

export function socketFor(session: Session, model: string): WebSocket {
  const address = new URL(`/lsp?model=${encodeURIComponent(model)}`, location.href);
  address.protocol = "ws:";
  return new WebSocket(address, ["inkling", session.key]);
}

async function exchanged(secret: string): Promise<Session | null> {
  const answer = await fetch("/session", { headers: { Authorization: `Bearer ${secret}` } });
  return answer.ok ? ((await answer.json()) as Session) : null;
}
