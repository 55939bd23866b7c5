using System.Net;

namespace Gateway.Observability;

/// <summary>What is worth knowing of one finished request or relay. Plain values: every lane fills the same struct.</summary>
internal struct AccessRecord
{
    /// <summary>When its first byte (HTTP) or its connection (TCP) arrived.</summary>
    public DateTimeOffset Started;

    /// <summary>Client.</summary>
    public EndPoint? Client;

    /// <summary>Listener as <c>:3000</c>.</summary>
    public string Listener;

    /// <summary>Service, or empty where no route matched.</summary>
    public string Service;

    /// <summary>Environment, or empty.</summary>
    public string Environment;

    /// <summary>Destination as NODE/ID, or empty where none was reached.</summary>
    public string Destination;

    /// <summary>Destination as ADDRESS:PORT, or empty.</summary>
    public string DestinationAddress;

    /// <summary><c>HTTP/1.1</c>, <c>HTTP/2</c>, <c>TCP</c>.</summary>
    public string Protocol;

    /// <summary>Method (HTTP).</summary>
    public string Method;

    /// <summary>Host as received (HTTP).</summary>
    public string Host;

    /// <summary>Path and query as received (HTTP).</summary>
    public string Target;

    /// <summary>Status sent; 0 for TCP, or where the client left before one was sent.</summary>
    public int Status;

    /// <summary>Reason code of a failure of ours, or empty.</summary>
    public string Reason;

    /// <summary>Request id, or empty.</summary>
    public string RequestId;

    /// <summary>Body bytes client → destination.</summary>
    public long BytesIn;

    /// <summary>Body bytes destination → client.</summary>
    public long BytesOut;

    /// <summary>Attempts after the first.</summary>
    public int Retries;

    /// <summary>Milliseconds until a destination connection was ready; -1 when never reached.</summary>
    public double ConnectMs;

    /// <summary>Milliseconds until the response head; -1 when never reached.</summary>
    public double ResponseMs;

    /// <summary>Milliseconds in all.</summary>
    public double TotalMs;
}
