using System.Collections.Immutable;
using System.IO.Enumeration;
using System.Threading.Channels;
using Gateway.Catalog;
using Microsoft.Extensions.Logging;

namespace Gateway.Discovery.FileCatalogs;

/// <summary>
/// Catalogs in files, followed live: file events wake it and a slow poll finds what events miss. Invariants: a file that cannot
/// be read or parsed keeps what it held; a file is read only once it rests, so a half-written one is never taken for less; a
/// file named outright that is missing keeps what it held, one that a glob found is gone when it is gone.
/// </summary>
internal sealed class FileCatalogSource : ICatalogSource
{
    private const long FileBytesMax = 64 * 1024 * 1024;
    private static readonly TimeSpan Poll = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan Settle = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan GoneAfter = TimeSpan.FromSeconds(1);

    private readonly FileCatalogOptions _options;
    private readonly TimeProvider _clock;
    private readonly ILogger _log;
    private readonly SortedDictionary<string, Followed> _files = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Problem> _pathProblems = new(StringComparer.Ordinal);
    private readonly Dictionary<string, FileSystemWatcher> _watchers = new(StringComparer.Ordinal);
    private SourceStatus _status = new() { Mode = "files" };

    /// <param name="name">Name shown to operators.</param>
    /// <param name="options">Which files.</param>
    /// <param name="clock">Polls and ages.</param>
    /// <param name="log">Told each problem once.</param>
    public FileCatalogSource(string name, FileCatalogOptions options, TimeProvider clock, ILogger log)
    {
        Name = name;
        _options = options;
        _clock = clock;
        _log = log;
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public SourceStatus Status => Volatile.Read(ref _status);

    /// <inheritdoc/>
    public async Task WatchAsync(Action<CatalogSnapshot> report, CancellationToken stop)
    {
        Channel<bool> changed = Channel.CreateBounded<bool>(
            new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
        CatalogSnapshot? last = null;
        try
        {
            while (!stop.IsCancellationRequested)
            {
                // 1. Watch before looking, so that nothing changes unseen in between.
                WatchFolders(() => changed.Writer.TryWrite(true));
                while (changed.Reader.TryRead(out _))
                {
                    // What is announced up to here, the look below sees.
                }

                // 2. Look, and report what is new. While a file does not rest at first, there is nothing whole to report.
                bool restless = Look();
                if (last is not null || !restless)
                {
                    CatalogSnapshot next = Merge(last ?? CatalogSnapshot.Empty, out List<Problem> problems);
                    Publish(problems, reported: true);
                    if (last is null || !ReferenceEquals(next, last))
                    {
                        last = next;
                        report(next);
                    }
                }

                // 3. Wait for an event or the next poll; not long while something is being written.
                using CancellationTokenSource timeout = new(restless ? Settle : Poll, _clock);
                using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, stop);
                Task news = changed.Reader.WaitToReadAsync(either.Token).AsTask();
                await news.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
        finally
        {
            foreach (FileSystemWatcher watcher in _watchers.Values)
            {
                watcher.Dispose();
            }

            _watchers.Clear();
        }
    }

    /// <summary>Looks at every file once. True: one of them is being written or has just vanished, look again soon.</summary>
    private bool Look()
    {
        bool restless = false;
        SortedSet<string> present = new(StringComparer.Ordinal);
        foreach (string pattern in _options.Paths)
        {
            foreach (string path in Expand(pattern))
            {
                present.Add(path);
            }
        }

        foreach (string path in present)
        {
            if (!_files.TryGetValue(path, out Followed? file))
            {
                _files.Add(path, file = new Followed());
            }

            restless |= LookAt(path, file);
        }

        // A file that a glob does not find any more is gone, but a writer that removes and creates gets a second.
        foreach ((string path, Followed file) in _files.Where(f => !present.Contains(f.Key)).ToArray())
        {
            file.GoneSince ??= _clock.GetTimestamp();
            if (_clock.GetElapsedTime(file.GoneSince.Value) >= GoneAfter)
            {
                _files.Remove(path);
            }
            else
            {
                restless = true;
            }
        }

        return restless;
    }

    private IEnumerable<string> Expand(string pattern)
    {
        string folder = Path.GetDirectoryName(pattern) is { Length: > 0 } given ? given : ".";
        string name = Path.GetFileName(pattern);
        _pathProblems.Remove(pattern);
        if (!name.AsSpan().ContainsAny('*', '?'))
        {
            // Named outright: followed whether it is there or not.
            return [pattern];
        }

        try
        {
            return [.. Directory.EnumerateFiles(folder)
                .Where(f => !Path.GetFileName(f).StartsWith('.')
                    && FileSystemName.MatchesSimpleExpression(name, Path.GetFileName(f), ignoreCase: false))];
        }
        catch (DirectoryNotFoundException)
        {
            // It may come later; until then the glob finds nothing, but what was known from it is not gone by that.
            _pathProblems[pattern] = PathProblem(pattern, ProblemCodes.CatalogFolderMissing, "the folder does not exist");
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            _pathProblems[pattern] = PathProblem(pattern, ProblemCodes.CatalogFolderUnreadable, failure.Message);
        }

        return _files.Keys.Where(f => Path.GetDirectoryName(f) == Path.GetDirectoryName(pattern)
            && FileSystemName.MatchesSimpleExpression(name, Path.GetFileName(f), ignoreCase: false)).ToArray();
    }

    /// <summary>True: it is being written, look again soon.</summary>
    private bool LookAt(string path, Followed file)
    {
        try
        {
            file.GoneSince = null;
            FileInfo info = new(path);
            (long Length, DateTime Written) stamp = (info.Length, info.LastWriteTimeUtc);
            if (stamp.Length > FileBytesMax)
            {
                file.Trouble = PathProblem(path, ProblemCodes.CatalogFileSize, $"{stamp.Length} bytes, over {FileBytesMax}");
                return false;
            }

            string text = File.ReadAllText(path);
            if (text == file.Text)
            {
                file.Trouble = null;
                file.Seen = null;
                return false;
            }

            // A writer that does not rename writes piece by piece, and a piece of a list is a list too: take a text only when
            // a second look finds the same, unless the file has been at rest for long.
            bool rested = _clock.GetUtcNow().UtcDateTime - stamp.Written > TimeSpan.FromSeconds(2);
            if (!rested && file.Seen != text)
            {
                file.Seen = text;
                return true;
            }

            file.Seen = null;
            file.Trouble = null;
            CatalogFileContent content = CatalogFile.Read(text, path);
            file.Text = text;
            if (content.Broken)
            {
                file.Problems = content.Problems;
                file.Broken = true;
            }
            else
            {
                file.Instances = content.Instances;
                file.Problems = content.Problems;
                file.Broken = false;
            }

            return false;
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            file.Trouble = PathProblem(
                path,
                failure is FileNotFoundException or DirectoryNotFoundException
                    ? ProblemCodes.CatalogFileMissing : ProblemCodes.CatalogFileUnreadable,
                failure.Message);

            // Its text counts as unknown: the same text coming back must clear a broken state too.
            file.Seen = null;
            return false;
        }
    }

    /// <summary>All files' instances; the same object when nothing changed, and the same services where they did not.</summary>
    private CatalogSnapshot Merge(CatalogSnapshot last, out List<Problem> problems)
    {
        problems = [.. _pathProblems.Values];
        Dictionary<InstanceKey, string> owners = [];
        List<Instance> instances = [];
        foreach ((string path, Followed file) in _files)
        {
            problems.AddRange(file.Problems);
            if (file.Trouble is not null)
            {
                problems.Add(file.Trouble);
            }

            foreach (Instance instance in file.Instances)
            {
                if (owners.TryAdd(instance.Key, path))
                {
                    instances.Add(instance);
                    continue;
                }

                problems.Add(new Problem
                {
                    Code = ProblemCodes.CatalogFileDuplicate,
                    Service = instance.Service,
                    Instance = instance.Key.ToString(),
                    Place = path,
                    Allowed = "an id once per node over all files",
                    Now = $"the entry in {owners[instance.Key]} stands, this one is left out",
                });
            }
        }

        CatalogSnapshot next = CatalogSnapshot.Of(instances);
        bool same = next.Services.Count == last.Services.Count;

        // Filled from empty: setting an equal value in an immutable dictionary keeps the value that is there, and it is the old
        // object that the planner must meet again.
        ImmutableSortedDictionary<string, Service>.Builder services = CatalogSnapshot.EmptyServices.ToBuilder();
        foreach (Service service in next.Services.Values)
        {
            bool known = last.Services.TryGetValue(service.Name, out Service? old) && old == service;
            services.Add(service.Name, known ? old! : service);
            same &= known;
        }

        return same ? last : next with { Services = services.ToImmutable() };
    }

    private void Publish(List<Problem> problems, bool reported)
    {
        bool whole = _pathProblems.Count == 0 && _files.Values.All(f => f.Trouble is null && !f.Broken);
        Volatile.Write(ref _status, new SourceStatus
        {
            HasReported = reported,
            LastContact = whole ? _clock.GetUtcNow() : _status.LastContact,
            Mode = _files.Count == 1 ? "1 file" : $"{_files.Count} files",
            Problems = problems.ToEquatableArray(),
        });
    }

    private void WatchFolders(Action changed)
    {
        foreach (string folder in _options.Paths
            .Select(p => Path.GetDirectoryName(p) is { Length: > 0 } f ? f : ".")
            .Distinct(StringComparer.Ordinal))
        {
            if (!Directory.Exists(folder))
            {
                // An event source of a folder that was removed says nothing of the next folder with its name.
                if (_watchers.Remove(folder, out FileSystemWatcher? stale))
                {
                    stale.Dispose();
                }

                continue;
            }

            if (_watchers.ContainsKey(folder))
            {
                continue;
            }

            FileSystemWatcher? watcher = null;
            try
            {
                watcher = new FileSystemWatcher(folder)
                {
                    NotifyFilter = NotifyFilters.FileName | NotifyFilters.LastWrite
                        | NotifyFilters.Size | NotifyFilters.DirectoryName,
                };
                watcher.Changed += (_, _) => changed();
                watcher.Created += (_, _) => changed();
                watcher.Deleted += (_, _) => changed();
                watcher.Renamed += (_, _) => changed();
                watcher.Error += (_, _) => changed();
                watcher.EnableRaisingEvents = true;
                _watchers.Add(folder, watcher);
                watcher = null;
            }
            catch (Exception failure) when (failure is IOException or ArgumentException or UnauthorizedAccessException)
            {
                // Out of inotify instances, for one: the poll goes on without.
                _log.LogDebug("No file events for {Folder}: {Reason}", folder, failure.Message);
            }
            finally
            {
                watcher?.Dispose();
            }
        }
    }

    private static Problem PathProblem(string path, string code, string value) => new()
    {
        Code = code,
        Place = path,
        Value = value,
        ValueMoves = true,
        Allowed = code switch
        {
            ProblemCodes.CatalogFolderMissing or ProblemCodes.CatalogFolderUnreadable => "a folder that this user may read",
            ProblemCodes.CatalogFileSize => $"a file of at most {FileBytesMax} bytes",
            _ => "a file that this user may read",
        },
        Now = "what it held before stands; it is looked at again every few seconds",
    };

    /// <summary>A file that is followed. Written by the watching task only.</summary>
    private sealed class Followed
    {
        /// <summary>The text that was read last, good or broken.</summary>
        public string? Text { get; set; }

        /// <summary>A text that was seen once, waiting for a second look.</summary>
        public string? Seen { get; set; }

        public EquatableArray<Instance> Instances { get; set; }

        public EquatableArray<Problem> Problems { get; set; }

        public bool Broken { get; set; }

        /// <summary>Why it cannot be read now.</summary>
        public Problem? Trouble { get; set; }

        public long? GoneSince { get; set; }
    }
}
