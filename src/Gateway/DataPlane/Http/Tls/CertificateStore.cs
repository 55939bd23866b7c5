using System.Globalization;
using Gateway.Catalog;
using Microsoft.Extensions.Logging;

namespace Gateway.DataPlane.Http.Tls;

/// <summary>
/// The certificates of the edge, live. In: a directory; out: a table that handshakes read by one reference, and problems.
/// Invariant: whatever happens to a file, a certificate that served goes on serving until a whole one takes its place, or it is
/// removed while others stay.
/// </summary>
internal sealed class CertificateStore : IDisposable
{
    /// <summary>Code of a certificate that cannot be used.</summary>
    public const string Unusable = ProblemCodes.CertificateUnusable;

    /// <summary>Code of a directory without certificates, or one that cannot be read.</summary>
    public const string Missing = ProblemCodes.CertificatesMissing;

    /// <summary>Code of a certificate near its end, or past it.</summary>
    public const string Expiring = ProblemCodes.CertificateExpires;

    private static readonly TimeSpan s_warnBefore = TimeSpan.FromDays(14);

    // After a change, so that both halves of a pair are there; and in any case, because a watch may see nothing (NFS, no inotify
    // left, a directory that appears later).
    private static readonly TimeSpan s_settle = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan s_poll = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan s_pollFaulty = TimeSpan.FromSeconds(2);

    private readonly TimeProvider _clock;
    private readonly ILogger _log;
    private readonly ITimer _timer;

    // Touched under _gate.
    private readonly Lock _gate = new();
    private readonly SortedDictionary<string, Held> _held = new(StringComparer.Ordinal);
    private EdgeOptions? _options;
    private FileSystemWatcher? _watcher;
    private string? _directoryFault;
    private bool _defaultMissing;
    private bool _disposed;

    // Written under _gate, read by handshakes.
    private volatile CertificateTable _table = CertificateTable.Empty;
    private volatile bool _strict;
    private int _soon;

    /// <summary>Makes a store without certificates.</summary>
    public CertificateStore(TimeProvider clock, ILogger log)
    {
        (_clock, _log) = (clock, log);
        _timer = clock.CreateTimer(_ => Tick(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>What handshakes from now on use.</summary>
    public CertificateTable Table => _table;

    /// <summary>Names that no certificate covers are refused.</summary>
    public bool Strict => _strict;

    /// <summary>Takes options and reads the directory now; null, or no HTTPS: there are no certificates.</summary>
    public void Configure(EdgeOptions? options)
    {
        lock (_gate)
        {
            if (options is null or { HasTls: false })
            {
                _options = null;
                _held.Clear();
                (_directoryFault, _defaultMissing) = (null, false);
                Unwatch();
                Publish();
                return;
            }

            if (_options?.Certificates != options.Certificates)
            {
                Unwatch();
            }

            _options = options;
            _strict = options.StrictSni;
        }

        Tick();
    }

    /// <summary>What is wrong now.</summary>
    public IReadOnlyList<Problem> Problems()
    {
        lock (_gate)
        {
            return _options is not { } options ? [] : [.. ProblemsOf(options)];
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            _disposed = true;
            Unwatch();
        }

        _timer.Dispose();
    }

    private void Tick()
    {
        try
        {
            Volatile.Write(ref _soon, 0);
            lock (_gate)
            {
                if (_options is { } options && !_disposed)
                {
                    // Watched before it is read: what comes in between is seen twice rather than not at all.
                    Watch(options.Certificates);
                    Read(options);
                    bool faulty = _directoryFault is not null || _held.Values.Any(h => h.Fault is not null);
                    Later(faulty ? s_pollFaulty : s_poll);
                }
            }
        }
        catch (Exception e)
        {
            // Ours to repair; the certificates in force go on.
            _log.LogError(e, "reading certificates failed");
            Later(s_poll);
        }
    }

    // What changed during a read may have been read before it changed: its event set the timer, and the poll must not put it off.
    // Looked at after the timer is set, so that an event is seen here or sets the timer after us.
    private void Later(TimeSpan poll)
    {
        _timer.Change(poll, Timeout.InfiniteTimeSpan);
        if (Volatile.Read(ref _soon) != 0)
        {
            _timer.Change(s_settle, Timeout.InfiniteTimeSpan);
        }
    }

    private void Read(EdgeOptions options)
    {
        IReadOnlyList<CertificateText> texts;
        try
        {
            texts = CertificateFiles.List(options.Certificates);
            _directoryFault = texts.Count == 0 ? "it holds no *.pem and no NAME.crt with NAME.key" : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            _directoryFault = CertificateFiles.Reason(e);
            texts = [];
        }

        // 1. What changed. A faulty one keeps what it had.
        bool changed = false;
        foreach (CertificateText text in texts)
        {
            Held? held = _held.GetValueOrDefault(text.File);
            if (held?.Digest == text.Digest)
            {
                continue;
            }

            (ServerCertificate? certificate, string? fault) = CertificateFiles.Load(text);
            _held[text.File] = new Held(text.Digest, certificate ?? held?.Certificate, fault);
            changed = true;
            if (certificate is not null)
            {
                _log.LogInformation(
                    "certificate {File} serves {Names} until {NotAfter:u}", text.File, string.Join(", ", certificate.Names), certificate.NotAfter);
            }
        }

        // 2. What is gone, unless nothing would be left to serve with: an empty directory is a mistake or a moment, not a wish.
        HashSet<string> there = [.. texts.Select(t => t.File)];
        if (_held.Any(h => there.Contains(h.Key) && h.Value.Certificate is not null))
        {
            foreach (string gone in _held.Keys.Where(k => !there.Contains(k)).ToList())
            {
                _held.Remove(gone);
                changed = true;
                _log.LogInformation("certificate {File} is gone and serves no more", gone);
            }
        }

        if (changed || _table.Default is null || !ReferenceEquals(_table.Default, Default(options)))
        {
            Publish();
        }
    }

    private void Publish()
    {
        ServerCertificate[] certificates = [.. _held.Values.Select(h => h.Certificate).OfType<ServerCertificate>()];
        _table = certificates.Length == 0 || _options is null
            ? CertificateTable.Empty
            : new CertificateTable(certificates, Default(_options));
    }

    // Named, else the first by file name. A name may also be a path to the directory, or lack its extension.
    private ServerCertificate? Default(EdgeOptions options)
    {
        ServerCertificate? first = _held.Values.Select(h => h.Certificate).FirstOrDefault(c => c is not null);
        ServerCertificate? named = options.DefaultCertificate is { } name
            ? _held.Values.Select(h => h.Certificate).FirstOrDefault(c => c is not null && IsNamed(c.File, name))
            : first;
        _defaultMissing = named is null && options.DefaultCertificate is not null;
        return named ?? first;
    }

    /// <summary>Whether a file is meant by <c>defaultCertificate</c>: its name, with or without a path and extension.</summary>
    internal static bool IsNamed(string file, string name) =>
        Path.GetFileName(name) is var last && (file == last || Path.GetFileNameWithoutExtension(file) == last
            || (last.EndsWith(".key", StringComparison.Ordinal) && file == Path.ChangeExtension(last, ".crt")));

    private IEnumerable<Problem> ProblemsOf(EdgeOptions options)
    {
        if (_directoryFault is not null)
        {
            yield return new Problem
            {
                Code = Missing,
                Place = "external.certificates",
                Value = options.Certificates,
                Allowed = "a readable directory with at least one *.pem (chain and key), or NAME.crt with NAME.key",
                Now = $"{_directoryFault}; {(_table.Default is null ? "HTTPS handshakes are refused until there is one" : "the certificates of before go on serving")}",
            };
        }

        if (_defaultMissing)
        {
            yield return new Problem
            {
                Code = ProblemCodes.CertificateDefaultMissing,
                Place = "external.defaultCertificate",
                Value = options.DefaultCertificate,
                Allowed = "the name of a file in external.certificates",
                Now = _table.Default is { } instead ? $"{instead.File} serves in its place" : "HTTPS handshakes are refused until there is one",
            };
        }

        DateTimeOffset now = _clock.GetUtcNow();
        foreach ((string file, Held held) in _held)
        {
            if (held.Fault is not null)
            {
                yield return new Problem
                {
                    Code = Unusable,
                    Place = Path.Combine(options.Certificates, file),
                    Allowed = "certificates in PEM form with the one private key that belongs to one of them",
                    Now = $"{held.Fault}; {(held.Certificate is null ? "it is left out" : "the one of before goes on serving")}",
                };
            }

            if (held.Certificate is { } certificate && (certificate.NotAfter - now < s_warnBefore || certificate.NotBefore > now))
            {
                yield return new Problem
                {
                    Code = Expiring,
                    Place = Path.Combine(options.Certificates, file),
                    Value = string.Create(CultureInfo.InvariantCulture, $"{certificate.NotBefore:u} - {certificate.NotAfter:u}"),
                    Allowed = "a certificate that is valid for 14 days and more",
                    Now = $"{(certificate.NotBefore > now ? "not valid yet" : certificate.NotAfter <= now ? "expired" : "it ends soon")}; "
                        + "it goes on serving; replace the file, it is read at once",
                };
            }
        }
    }

    private void Watch(string directory)
    {
        if (_watcher is not null)
        {
            if (Directory.Exists(directory))
            {
                return;
            }

            Unwatch();
        }

        FileSystemWatcher? watcher = null;
        try
        {
            watcher = new FileSystemWatcher(directory);
            watcher.Changed += (_, _) => Soon();
            watcher.Created += (_, _) => Soon();
            watcher.Deleted += (_, _) => Soon();
            watcher.Renamed += (_, _) => Soon();
            watcher.Error += (_, e) => LoseWatch(e.GetException());
            watcher.EnableRaisingEvents = true;
            _watcher = watcher;
        }
        catch (Exception e) when (e is IOException or ArgumentException or UnauthorizedAccessException)
        {
            // It does not exist yet, or there are no watches left: the poll sees changes too, only later.
            watcher?.Dispose();
            _log.LogDebug(e, "{Directory} cannot be watched; it is read every {Seconds} s", directory, s_poll.TotalSeconds);
        }
    }

    private void LoseWatch(Exception why)
    {
        _log.LogDebug(why, "the watch of the certificates was lost; it is set up again");
        lock (_gate)
        {
            Unwatch();
        }

        Soon();
    }

    private void Unwatch()
    {
        _watcher?.Dispose();
        _watcher = null;
    }

    // Not put off by each further event: a file that changes all the time would never be read.
    private void Soon()
    {
        if (Interlocked.Exchange(ref _soon, 1) == 0)
        {
            _timer.Change(s_settle, Timeout.InfiniteTimeSpan);
        }
    }

    /// <summary>What a file last said, and what serves for it.</summary>
    private sealed record Held(string Digest, ServerCertificate? Certificate, string? Fault);
}
