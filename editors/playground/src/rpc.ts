/** JSON-RPC over a WebSocket: a message is one text frame. */

interface Message {
  readonly id?: number | string;
  readonly method?: string;
  readonly params?: unknown;
  readonly result?: unknown;
  readonly error?: { readonly code: number; readonly message: string };
}

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** What a request throws that nobody waits for any more, or that the other side refuses. */
export class RefusedError extends Error {
  constructor(
    readonly code: number,
    message: string,
  ) {
    super(message);
  }
}

export const CANCELLED = -32800;
const METHOD_NOT_FOUND = -32601;

export class Rpc {
  private numAsked = 0;
  private readonly waiting = new Map<number, Waiting>();
  private readonly handlers = new Map<string, (params: unknown) => void>();

  /** `closed` is called once, whoever closed it. */
  constructor(
    private readonly socket: WebSocket,
    closed: () => void,
  ) {
    socket.addEventListener("message", (event) => this.take(JSON.parse(event.data) as Message));
    socket.addEventListener("close", () => {
      for (const waiting of this.waiting.values()) {
        waiting.reject(new RefusedError(CANCELLED, "the connection is closed"));
      }
      this.waiting.clear();
      closed();
    });
  }

  opened(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.socket.addEventListener("open", () => resolve());
      this.socket.addEventListener("close", () => reject(new Error("no connection")));
    });
  }

  on<Params>(method: string, handler: (params: Params) => void): void {
    this.handlers.set(method, (params) => handler(params as Params));
  }

  notify(method: string, params: unknown): void {
    this.send({ method, params });
  }

  /** Asks; an aborted request is cancelled on the other side. */
  request<Result>(method: string, params: unknown, signal?: AbortSignal): Promise<Result> {
    this.numAsked += 1;
    const id = this.numAsked;
    const answer = new Promise<unknown>((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
    });
    this.send({ id, method, params });
    signal?.addEventListener("abort", () => {
      if (this.waiting.has(id)) {
        this.notify("$/cancelRequest", { id });
      }
    });
    return answer as Promise<Result>;
  }

  close(): void {
    this.socket.close();
  }

  private send(message: Message): void {
    if (this.socket.readyState === WebSocket.OPEN) {
      this.socket.send(JSON.stringify({ jsonrpc: "2.0", ...message }));
    }
  }

  private take(message: Message): void {
    if (message.method === undefined) {
      this.settle(message);
    } else if (message.id === undefined) {
      this.handlers.get(message.method)?.(message.params);
    } else {
      const error = { code: METHOD_NOT_FOUND, message: `${message.method} is unknown here` };
      this.send({ id: message.id, error });
    }
  }

  private settle(message: Message): void {
    const waiting = this.waiting.get(message.id as number);
    this.waiting.delete(message.id as number);
    if (message.error === undefined) {
      waiting?.resolve(message.result);
    } else {
      waiting?.reject(new RefusedError(message.error.code, message.error.message));
    }
  }
}
