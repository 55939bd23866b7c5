using System.Net;
using System.Net.Sockets;
using Gateway.Catalog;
using Microsoft.Extensions.Logging;

namespace Gateway.DataPlane.Listening;

/// <summary>
/// Binds addresses and remembers those that could not be bound: who is in the way, when to try again, what to tell the operator.
/// Touched by the listener set in its turn only.
/// </summary>
internal sealed class PortBinder(TimeProvider time, ILogger logger, AdoptedSockets? adopted)
{
    private readonly long _epoch = time.GetTimestamp();
    private readonly PortOwners _owners = new();
    private readonly HashSet<PortAddress> _failed = [];
    private bool _loopback6Noted;

    private TimeSpan Now => time.GetElapsedTime(_epoch);

    /// <summary>Time until the next one should be tried again; null: nothing waits.</summary>
    public TimeSpan? NextDue => _failed.Count == 0 ? null : _failed.Min(f => f.Due) - Now;

    /// <summary>One problem per cause, sorted by port and address.</summary>
    public IEnumerable<Problem> Problems => _failed.Where(f => !IsQuiet(f))
        .OrderBy(f => f.Port.State.Key)
        .ThenBy(f => f.Key.Address.ToString(), StringComparer.Ordinal)
        .Select(f => f.ToProblem())
        .Distinct();

    /// <summary>Binds one that is not to be tried again; null: it is bound.</summary>
    public Problem? BindOnce(PortAddress address, string owner)
    {
        if (address.TryBind(adopted, Now))
        {
            address.Port.PublishBindings();
            return null;
        }

        FindOwners([address]);
        string why = address.Failure == PortAddress.InUse ? $"held by {address.OwnerText}" : address.ErrorText;
        return address.ToProblem() with { Service = null, Now = $"{owner} cannot listen there: {why}" };
    }

    /// <summary>Binds what can be bound; the rest is a problem and tried again later.</summary>
    public void Bind(IReadOnlyList<PortAddress> unbound)
    {
        if (unbound.Count == 0)
        {
            return;
        }

        HashSet<OpenPort> touched = [];
        foreach (PortAddress address in unbound)
        {
            string? before = address.Failure;
            touched.Add(address.Port);
            if (address.TryBind(adopted, Now))
            {
                _failed.Remove(address);
                if (before is not null)
                {
                    logger.LogInformation("{EndPoint}: bound at last", address.Key.EndPoint);
                }
            }
            else
            {
                _failed.Add(address);
            }
        }

        if (unbound.Any(a => a.Failure == PortAddress.InUse))
        {
            FindOwners(_failed);
        }

        foreach (OpenPort port in touched)
        {
            port.PublishBindings();
        }
    }

    private void FindOwners(IEnumerable<PortAddress> failed)
    {
        PortAddress[] inUse = [.. failed.Where(f => f.Failure == PortAddress.InUse)];
        if (inUse.Length == 0)
        {
            return;
        }

        IReadOnlyDictionary<IPEndPoint, PortOwner> owners = _owners.Find([.. inUse.Select(f => f.Key.EndPoint)]);
        foreach (PortAddress address in inUse)
        {
            address.Owner = owners.GetValueOrDefault(address.Key.EndPoint);
        }
    }

    /// <summary>These are wanted no longer.</summary>
    public void Forget(IEnumerable<PortAddress> addresses) => _failed.ExceptWith(addresses);

    /// <summary>Tries what failed because somebody held the port.</summary>
    public void RetryInUse() => Bind([.. _failed.Where(f => f.Failure == PortAddress.InUse)]);

    /// <summary>Tries what is due. An absent address is asked for once, not once per port.</summary>
    public void RetryDue(bool networkChanged)
    {
        Dictionary<IPAddress, bool> present = [];
        List<PortAddress> due = [];
        foreach (PortAddress address in _failed)
        {
            bool absent = address.Failure == PortAddress.NotAvailable;
            if (address.Due > Now && !(absent && networkChanged))
            {
                continue;
            }

            if (absent && !IsPresent(address.Key.Address, present))
            {
                address.Postpone(Now);
                continue;
            }

            due.Add(address);
        }

        Bind(due);
    }

    private static bool IsPresent(IPAddress address, Dictionary<IPAddress, bool> known)
    {
        if (!known.TryGetValue(address, out bool present))
        {
            try
            {
                using Socket probe = new(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
                probe.Bind(new IPEndPoint(address, 0));
                present = true;
            }
            catch (SocketException)
            {
                present = false;
            }

            known[address] = present;
        }

        return present;
    }

    // With IPv6 switched off there is no ::1, and nobody asked for it: it is among the default addresses.
    private bool IsQuiet(PortAddress address)
    {
        bool quiet = address.Failure == PortAddress.NotAvailable
            && ((address.Key.Address.Equals(IPAddress.IPv6Loopback)
                    && address.Port.Addresses.Any(a => a.Key.Address.Equals(IPAddress.Loopback)))
                || (address.Key.Address.Equals(IPAddress.IPv6Any)
                    && address.Port.Addresses.Any(a => a.Key.Address.Equals(IPAddress.Any))));
        if (quiet && !_loopback6Noted)
        {
            _loopback6Noted = true;
            logger.LogInformation("this host has no ::1 (IPv6 is off); internal listeners serve on their other addresses");
        }

        return quiet;
    }
}
