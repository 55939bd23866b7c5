using System.Net;
using System.Security.Cryptography;
using System.Text;
using Gateway.DataPlane.Balancing;
using Gateway.DataPlane.Health;
using Gateway.DataPlane.Http.Routing;
using Gateway.DataPlane.Listening;
using Gateway.DataPlane.Loops;
using Gateway.Observability;
using Gateway.Planning;

namespace Gateway.DataPlane.Http.FastLane;

/// <summary>
/// One request and its answer on a loop: chooses, tries, retries, answers. In: a parsed head; out: a client that has an answer of an
/// instance, a failure of ours, or has left. What it decides with is the code that the other lane decides with. This file holds the
/// decisions; <c>FastExchange.Upload.cs</c> and <c>FastExchange.Download.cs</c> move the bytes. Used again and again; touched by its loop only.
/// </summary>
internal sealed partial class FastExchange(FastLoop on)
{
    private readonly DestinationState[] _tried = new DestinationState[RetryRule.AttemptsMax];

    private ClientConnection _client = null!;
    private ListenerState _listener = null!;
    private EdgePolicy _policy = EdgePolicy.None;
    private RouteTarget? _target;
    private ClusterPlan? _cluster;
    private DestinationState? _destination;
    private InstanceConnection? _instance;
    private Stage _stage;
    private int _triedCount;
    private int _attempts;
    private AttemptFailure _failure;
    private DestinationState? _failed;
    private bool _charged;
    private bool _budgeted;
    private bool _resolving;
    private long _clientDue;

    // A connect is being begun: its outcome may come before the call returns, and then TryNext goes on by itself.
    private bool _trying;
    private bool _again;

    // Plan of the destination tried last, for the record.
    private DestinationPlan? _last;

    // Of the request, kept beyond its head.
    private MethodKind _method;
    private int _minorVersion;
    private bool _clientKeepsAlive;
    private bool _halfCloseIsNoNews;
    private bool _wantsTunnel;
    private bool _expectsContinue;
    private bool _hasBody;

    // The record.
    private Reason? _reason;
    private string _requestId = "";
    private int _status;
    private int _retries;
    private long _bytesIn;
    private long _bytesOut;
    private long _began;
    private long _attemptBegan;
    private long _connectedAt;
    private long _headAt;
    private RequestText? _text;

    private enum Stage : byte
    {
        /// <summary>Nobody uses it.</summary>
        Free,

        /// <summary>No connection yet.</summary>
        Connecting,

        /// <summary>The request is on its way, or its answer.</summary>
        Answering,

        /// <summary>Bytes in both directions.</summary>
        Tunnel,

        /// <summary>A failure of ours is on its way to the client.</summary>
        Failing,
    }

    /// <summary>It became a tunnel.</summary>
    public bool IsTunnel => _stage == Stage.Tunnel;

    /// <summary>Which attempt is under way: later answers to earlier ones mean nothing. Grows over all requests.</summary>
    public int AttemptNumber { get; private set; }

    private EventLoop Loop => on.Loop;

    private FastLane Lane => on.Lane;

    /// <summary>
    /// Takes a request and decides where it goes. False: the other lane serves that cluster, and nothing has happened. Copies what it
    /// needs, so the head's bytes may go.
    /// </summary>
    public bool Begin(ClientConnection client, RequestHead head, ReadOnlySpan<byte> raw)
    {
        // 1. Where it goes, by the table of this moment.
        RouteTarget? target = null;
        Reason? refusal = null;
        if (head.Form is TargetForm.Origin or TargetForm.Absolute)
        {
            target = Lane.Route(client.Listener, head.Host.Of(raw), head.Path(raw));
            refusal = target is not null ? null

                // On a connection that outlived its port the service is gone, not the page: a 404 would be believed and cached.
                : client.Listener.Closing ? Reason.NoInstance : Reason.NoRoute;
        }
        else if (head.Form != TargetForm.Asterisk || head.MethodKind != MethodKind.Options)
        {
            refusal = Reason.BadRequest.Saying("The request target names no path.");
        }

        if (target is not null && !FastLane.Serves(target.Cluster.Plan, head, raw))
        {
            return false;
        }

        // 2. What outlives the head.
        Reset(client);
        _target = target;
        _cluster = target?.Cluster.Plan;
        (_method, _minorVersion, _clientKeepsAlive) = (head.MethodKind, head.MinorVersion, head.KeepAlive);
        (_wantsTunnel, _expectsContinue, _hasBody) = (head.WantsWebSocket, head.ExpectsContinue, head.Body != BodyKind.None);
        _halfCloseIsNoNews = !head.KeepAlive;
        _text = Lane.Records.WantsRecords ? RequestText.Of(head, raw) : null;

        // RFC 8586 §2: whoever finds its own id has seen the request before.
        if (refusal is null && head.CountOwnId(raw, Lane.LoopId) >= HeaderRules.OwnIdMax)
        {
            refusal = Reason.Loop;
        }

        _failure = new AttemptFailure(refusal!, false);
        if (refusal is not null || target is null)
        {
            ChooseLanguage(head, raw);
            BeginUpload(head);
            return true;
        }

        // 3. The head as it goes on; kept until a first byte of the answer has come, because another instance may need it.
        WriteHead(head, raw);
        BeginUpload(head);
        return true;
    }

    /// <summary>Goes on after <see cref="Begin"/>.</summary>
    public void Run()
    {
        if (_failure.Reason is { } refusal)
        {
            Fail(refusal);
        }
        else if (_target is null)
        {
            AnswerOptions();
        }
        else
        {
            _budgeted = true;
            _target.Budget.Begin();
            TryNext();
        }
    }

    /// <summary>Answers what the parser refused; the connection ends with it.</summary>
    public void Refuse(ClientConnection client, Reason reason)
    {
        Reset(client);
        _minorVersion = 1;
        _text = Lane.Records.WantsRecords ? RequestText.None : null;
        Fail(reason);
    }

    /// <summary>Events of the client's socket.</summary>
    public void ClientReady()
    {
        // In a tunnel the end of both directions is the usual end.
        if (_stage != Stage.Tunnel && (_client.Broken || (_client.PeerEnded && IsClientGone())))
        {
            ClientLeft();
            return;
        }

        Advance();
    }

    /// <summary>Events of the instance's socket.</summary>
    public void InstanceReady() => Advance();

    /// <summary>The client's connection was ended by somebody else.</summary>
    public void ClientEnded()
    {
        if (_stage != Stage.Free)
        {
            _reason ??= Reason.ClientClosed;
            Finish(reuse: false);
        }
    }

    /// <summary>A mistake of ours: everything that is held is let go of.</summary>
    public void OnFault()
    {
        if (_stage != Stage.Free)
        {
            ClientConnection client = _client;
            Finish(reuse: false);
            client.End(reset: true);
        }
    }

    /// <summary>Nothing came from the instance in time.</summary>
    public void InstanceSilent()
    {
        if (_stage != Stage.Answering)
        {
            return;
        }

        // It has answered and takes no more of the body, which must not pin the client for ever: the answer is out, and the instance's
        // connection ends with it. The client's lives on where all of the body was read.
        if (_answered && _toClient.IsEmpty && !_toInstance.IsEmpty)
        {
            _keepInstance = false;
            End(linger: true);
            return;
        }

        // Silent because it waits for the client: that one has a time of its own.
        bool waitsForClient = !_toClient.IsEmpty || (!_upload.IsDone && _toInstance.IsEmpty && !_client.CanRead);
        if (waitsForClient || _answered)
        {
            _instance?.SetTimer((long)_cluster!.Timeouts.Response.TotalMilliseconds);
            return;
        }

        InstanceFailed(Reason.TimeoutResponse);
    }

    /// <summary>The client's timer is due; what it was set for may have passed long ago.</summary>
    public void ClientSilent()
    {
        switch (_stage)
        {
            case Stage.Tunnel:
                TunnelSilent();
                return;
            case Stage.Connecting when _resolving:
                _resolving = false;
                AttemptNumber++;
                ConnectFailed(Reason.TimeoutConnect, "resolving the name timed out");
                return;
        }

        bool takesNothing = !_toClient.IsEmpty;
        bool sendsNothing = _stage == Stage.Answering && !_upload.IsDone && _toInstance.IsEmpty && !_client.CanRead;
        if (!takesNothing && !sendsNothing)
        {
            return;
        }

        if (Loop.Now < _clientDue)
        {
            _client.SetTimer(_clientDue - Loop.Now);
        }
        else if (sendsNothing && !_headSent)
        {
            // RFC 9110 §15.5.9: the rest of the request did not arrive. The instance is not to blame.
            ReleaseInstance(reuse: false);
            Fail(Reason.Refused(408));
        }
        else
        {
            ClientLeft();
        }
    }

    private void TryNext()
    {
        while (_stage is Stage.Connecting)
        {
            // One that was not tried yet. Where all were: one that closed a connection may have closed only that one, as servers do
            // with idle connections, and is asked again; one that refused is not.
            RouteTarget target = _target!;
            DestinationState? destination = target.Cluster.Pick(_tried.AsSpan(0, _triedCount))
                ?? (_failure.Reason == Reason.InstanceReset ? target.Cluster.Pick([]) : null);
            if (destination is null)
            {
                Fail(_failure.Reason ?? Reason.NoInstance);
                return;
            }

            if (_failed is not null)
            {
                _retries++;
                _failed.RetriedAway();
                Lane.Metrics.DestinationRetry(_cluster!.Service, _cluster.Environment, _failure.Reason.Code);
                _failed = null;
            }

            _attempts++;
            AttemptNumber++;
            _destination = destination;
            _attemptBegan = Loop.Timestamp;
            destination.Begin();
            InstancePool pool = on.PoolOf(destination);
            while (pool.Take() is { } idle)
            {
                // What must not be sent twice is not sent into a connection that the instance has just closed.
                if (RetryRule.IsIdempotent(_method) && !_hasBody || idle.IsAlive())
                {
                    idle.Serve(this);
                    Start(idle);
                    return;
                }

                idle.Close();
            }

            // The outcome may come before the call returns: then the loop goes on here instead of deeper and deeper.
            _trying = true;
            _again = false;
            pool.Connect(this, _cluster!.Timeouts.Connect);
            _trying = false;
            if (!_again)
            {
                return;
            }
        }
    }

    /// <summary>Its destination's name is being resolved.</summary>
    public void Resolving(TimeSpan timeout)
    {
        _resolving = true;
        _client.SetTimer((long)timeout.TotalMilliseconds);
    }

    /// <summary>Whether the outcome of resolving is still waited for.</summary>
    public bool StillResolves(int attempt) => _resolving && _stage == Stage.Connecting && AttemptNumber == attempt;

    /// <summary>A connect is under way.</summary>
    public void Connecting(InstanceConnection connection) => (_instance, _resolving) = (connection, false);

    /// <summary>Connected.</summary>
    public void Connected(InstanceConnection connection)
    {
        _connectedAt = Loop.Timestamp;
        _destination!.Health.ConnectSucceeded();
        Start(connection);
    }

    /// <summary>No connection: no byte of the request has left.</summary>
    public void ConnectFailed(Reason reason, string evidence)
    {
        (_instance, _resolving) = (null, false);
        if (_stage != Stage.Connecting)
        {
            return;
        }

        if (reason != Reason.Overloaded)
        {
            _destination!.Health.ConnectFailed(evidence);
        }

        AttemptFailed(new AttemptFailure(reason, Unsent: true));
    }

    private void AttemptFailed(AttemptFailure failure)
    {
        // 1. What the attempt held.
        DestinationState destination = _destination!;
        ReleaseInstance(reuse: false, failed: true);
        _failure = failure;
        _failed = destination;
        if (_triedCount < _tried.Length)
        {
            _tried[_triedCount++] = destination;
        }

        // 2. To the next, or to the client. Body bytes that have left the client are gone.
        bool may = !_uploadBegan && RetryRule.MayRetry(
            failure, _attempts, RetryRule.IsIdempotent(_method), _hasBody, _target!.Budget, ref _charged);
        if (!may)
        {
            Fail(failure.Reason);
            return;
        }

        _stage = Stage.Connecting;
        if (_trying)
        {
            _again = true;
        }
        else
        {
            TryNext();
        }
    }

    // Whether its FIN says that the client has left. A client that asked for the connection to close after this answer has nothing more
    // to send, and its FIN is no news; anybody else would keep its side open for the next request.
    private bool IsClientGone() => _stage switch
    {
        Stage.Tunnel => false,
        Stage.Failing => false,
        _ => !_halfCloseIsNoNews || (!_upload.IsDone && _client.Inbox.IsEmpty && !_client.CanRead),
    };

    private void ClientLeft()
    {
        _reason = Reason.ClientClosed;
        ClientConnection client = _client;
        Finish(reuse: false);
        client.End(reset: true);
    }

    // Ends the attempt under way: the instance may have another request, or not.
    private void ReleaseInstance(bool reuse, bool failed = false)
    {
        if (_instance is { } instance)
        {
            _instance = null;
            if (reuse)
            {
                instance.Pool.Return(instance);
            }
            else
            {
                instance.Leave();
                instance.Close();
            }
        }

        if (_destination is { } destination)
        {
            _last = destination.Plan;
            _destination = null;
            if (failed)
            {
                destination.Failed();
            }

            destination.End();
        }
    }

    // Everything is said and done, or there is nobody to say it to.
    private void Finish(bool reuse)
    {
        // Free first: should anything here throw, nobody counts it a second time.
        Stage was = _stage;
        _stage = Stage.Free;
        on.NoteRequest(-1);
        if (was == Stage.Tunnel)
        {
            on.NoteTunnel(-1);
        }

        ReleaseInstance(reuse);
        if (_budgeted)
        {
            _target!.Budget.End(_charged);
        }

        Record();
        ClearTransfer();
        _tried.AsSpan().Clear();
        (_target, _cluster, _last, _failed, _text) = (null, null, null, null, null);
        on.Return(this);
    }

    private void Reset(ClientConnection client)
    {
        (_client, _listener, _policy) = (client, client.Listener, Lane.Edge);
        (_target, _cluster, _destination, _instance, _last) = (null, null, null, null, null);
        _stage = Stage.Connecting;
        on.NoteRequest(1);
        (_triedCount, _attempts, _failure, _failed) = (0, 0, default, null);
        (_charged, _budgeted, _trying, _again, _resolving) = (false, false, false, false, false);
        _language = FailureLanguage.Json;
        (_method, _minorVersion, _clientKeepsAlive, _halfCloseIsNoNews) = (MethodKind.Other, 0, false, true);
        (_wantsTunnel, _expectsContinue, _hasBody) = (false, false, false);
        (_reason, _requestId, _status, _retries, _text) = (null, "", 0, 0, null);
        (_bytesIn, _bytesOut) = (0, 0);
        _began = Loop.Timestamp;
        (_attemptBegan, _connectedAt, _headAt) = (0, 0, 0);
        ResetTransfer();
    }

    private void NameFailure() => _requestId = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(8));

    private void Record()
    {
        int status = _reason == Reason.ClientClosed && !_headSent ? 0 : _status;
        on.CountRequest(_listener, _cluster, status, (Loop.Timestamp - _began) / (double)Lane.Time.TimestampFrequency);
        if (_text is not { } text)
        {
            return;
        }

        DestinationPlan? destination = _last;
        TimeSpan total = Lane.Time.GetElapsedTime(_began, Loop.Timestamp);
        Lane.Records.Log(new AccessRecord
        {
            Started = Lane.Time.GetUtcNow() - total,
            Client = _client.EndPoint,
            Listener = _listener.Name,
            Service = _cluster?.Service ?? "",
            Environment = _cluster?.Environment ?? "",
            Destination = destination?.Instance.ToString() ?? "",
            DestinationAddress = destination?.EndPoint ?? "",
            Protocol = _minorVersion == 0 ? "HTTP/1.0" : "HTTP/1.1",
            Method = text.Method,
            Host = text.Host,
            Target = text.Target,
            Status = status,
            Reason = _reason?.Code ?? "",
            RequestId = _requestId,
            BytesIn = _bytesIn,
            BytesOut = _bytesOut,
            Retries = _retries,
            ConnectMs = _attemptBegan == 0 || (_headAt == 0 && _connectedAt == 0) ? -1 : Ms(_connectedAt > 0 ? _connectedAt : _attemptBegan),
            ResponseMs = _headAt == 0 ? -1 : Ms(_headAt),
            TotalMs = total.TotalMilliseconds,
        });
    }

    private double Ms(long timestamp) => Math.Max(0, Lane.Time.GetElapsedTime(_began, timestamp).TotalMilliseconds);

    /// <summary>What a record says of a head, as text; made only where somebody wants records.</summary>
    private sealed record RequestText(string Method, string Host, string Target)
    {
        public static readonly RequestText None = new("", "", "");

        public static RequestText Of(RequestHead head, ReadOnlySpan<byte> raw) => new(
            Encoding.Latin1.GetString(head.Method.Of(raw)), Encoding.Latin1.GetString(head.Host.Of(raw)),
            Encoding.Latin1.GetString(head.Target.Of(raw)));
    }
}
